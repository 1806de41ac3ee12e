/** Initdata as the guest finds it: on one disk of several, with files for others and a policy for the agent. */
import { decodeBase64 } from "../../crypto/base64.ts";
import { toHex } from "../../crypto/sha256.ts";
import { hasCode } from "../../kata-error.ts";
import { initdataDisk } from "../../policy/initdata/initdata-disk.ts";
import { exists, mkdirAll, readTextFile, removeTree, writeFile } from "../../sys/files.ts";
import { assert, assertEqual, assertThrows, runTests, test } from "../../sys/testing/native-test.ts";
import { adoptInitdata } from "./adopt-initdata.ts";
import { findInitdata } from "./find-initdata.ts";

/** gzip of TOML with policy.rego, aa.toml and another file. */
const PAYLOAD =
  decodeBase64(
    "H4sIAAAAAAAAAyXKQQrCMBBG4f2cYpgDhFawu55ERX7qkATTTEkH0dtL0+333kfbnq3yzDKEMQxCKNFa9rQetidcrpMQ3V5wPEg2K3n5habR5Bg2LG9EZUSt/jzrvQoJENzW0qcvzzx2NU/aulUT+gMnnAC9fQAAAA==",
    false,
    "required",
  ) ?? new Uint8Array();
const ROOT = "/tmp/kata-initdata-test";
const DISKS = { block: `${ROOT}/block`, dev: `${ROOT}/dev` };

/** A machine with these disks by name; sizes are told in sectors. */
function machine(disks: Readonly<Record<string, Uint8Array>>): void {
  removeTree(ROOT);
  mkdirAll(DISKS.dev);
  for (const [name, content] of Object.entries(disks)) {
    mkdirAll(`${DISKS.block}/${name}`);
    writeFile(`${DISKS.block}/${name}/size`, `${content.length / 512}\n`);
    writeFile(`${DISKS.dev}/${name}`, content);
  }
}

test("initdata is found on the disk that has it, and nowhere else", () => {
  try {
    const disk = initdataDisk(PAYLOAD);
    machine({ vda: new Uint8Array(1024), vdb: disk, loop0: disk });
    assertEqual(findInitdata(DISKS), PAYLOAD);
    machine({ vda: new Uint8Array(1024), loop0: disk, vda1: disk });
    assertEqual(findInitdata(DISKS), undefined);
    machine({ vda: new Uint8Array(0) });
    assertEqual(findInitdata(DISKS), undefined);
  } finally {
    removeTree(ROOT);
  }
});

test("a disk that says more than it has is refused", async () => {
  try {
    const disk = initdataDisk(PAYLOAD);
    new DataView(disk.buffer).setUint32(8, 100_000, true);
    machine({ vdc: disk });
    await assertThrows(
      () => findInitdata(DISKS),
      (error) => hasCode(error, "invalid-initdata"),
      "invalid-initdata",
    );
  } finally {
    removeTree(ROOT);
  }
});

test("initdata is taken over with its files for the guest, its policy and its digest", () => {
  const directory = `${ROOT}/run`;
  try {
    const { digest, policy } = adoptInitdata(PAYLOAD, directory);
    assertEqual(policy, "package agent_policy\n");
    assertEqual(toHex(digest()), "321a8ad342d3d65bd9e83b3f544ae12e46a6c71bd80f259a6b38fea88c8165d7");
    assertEqual(readTextFile(`${directory}/aa.toml`), "x = 1\n");
    assert(readTextFile(`${directory}/initdata.toml`).startsWith('version = "0.1.0"'), "the text as it came");
    assert(exists(`${directory}/other`), "what others name");
    assert(!exists(`${directory}/policy.rego`) && !exists(`${directory}/image.json`), "nothing else");
  } finally {
    removeTree(ROOT);
  }
});

/** gzip of TOML with cdh.toml, whose `[image]` names a resource and a file, that file, and names that are none. */
const IMAGES =
  decodeBase64(
    "H4sIAAAAAAACA02PwU4DMQxE7/mKyneSFgkOSHwJqiKTeHdNswlKnKorxL8Tt1Rw9LNnPHOm2rjk3esO9vZg92AwzaWyLKuytuDj0zOYt4iCRwMhLlbKmkCXAKaVcCLRoWe+vDjnas/uMgS84kxHg10WysIBhaKvNHOTuvlQKSrG1HyvrAan96b6SBP2JE6F7gDm6uMbhXEmm/8sicN210yc6P40lDzxr+nDGAQ5j3KOM4umdzep/Wglg9Hw8J+o3df3gNY6OvOt4SgC1wB/NwP9AMOSYKY0AQAA",
    false,
    "required",
  ) ?? new Uint8Array();

test("initdata says what images are pulled by", () => {
  const directory = `${ROOT}/run/initdata`;
  try {
    adoptInitdata(IMAGES, directory);
    assertEqual(JSON.parse(readTextFile(`${directory}/image.json`)), {
      credentials: "kbs:///default/auth/1",
      policy: "file:///run/confidential-containers/initdata/policy.json",
    });
    assertEqual(readTextFile(`${directory}/policy.json`), "{}");
    assert(!exists(`${ROOT}/run/evil`), "names lead nowhere else");
  } finally {
    removeTree(ROOT);
  }
});

runTests();
