import { gzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { parseConfiguration } from "../config/index.ts";
import { confidentialGuest, confidentialWish, type ProtectionFacts } from "./confidential-guest.ts";

const BARE: ProtectionFacts = {
  accelerator: "kvm",
  snp: undefined,
  tdx: undefined,
  secureExecution: undefined,
  encryptionBit: 51,
  quoteSocket: "",
};
const FILE = `[hypervisor.qemu]
confidential_guest = true
firmware = "/OVMF.fd"
shared_fs = "none"
`;

function wishOf(more = "", text = FILE) {
  const wish = confidentialWish(parseConfiguration(text + more, "/c.toml", { strict: true }));
  if (wish === undefined) throw new Error("no wish");
  return wish;
}

const INITDATA = gzipSync('version = "0.1.0"\nalgorithm = "sha256"\n').toString("base64");

describe("confidentialWish()", () => {
  test("is none unless it is asked for", () => {
    expect(confidentialWish(parseConfiguration("[hypervisor.qemu]\n", "/c.toml"))).toBeUndefined();
  });

  test.each([
    ["no firmware", FILE.replace(/^firmware.*$/m, ""), "invalid-configuration", /firmware is empty/],
    ["a shared directory", FILE.replace("none", "virtio-fs"), "invalid-configuration", /shared_fs/],
    [
      "another monitor",
      FILE.replace(".qemu", ".firecracker").replace(/^firm.*$/m, ""),
      "unsupported",
      /only QEMU/,
    ],
    [
      "Cloud Hypervisor without what it boots",
      FILE.replace(".qemu", ".clh"),
      "invalid-configuration",
      /igvm is empty/,
    ],
  ])("refuses %s", (_what, text, code, message) => {
    expect(() => wishOf("", text)).toThrow(
      expect.objectContaining({ code, message: expect.stringMatching(message) }),
    );
  });
});

describe("confidentialGuest()", () => {
  test("is Secure Execution's on a mainframe that has it, without firmware and initdata", () => {
    const wish = wishOf('machine_type = "s390-ccw-virtio"\n', FILE.replace(/^firmware.*$/m, ""));
    expect(confidentialGuest(wish, { ...BARE, secureExecution: "1" }, "")).toEqual({
      kind: "secure-execution",
    });
    for (const [host, initdata, message] of [
      [{ ...BARE, secureExecution: "0" }, "", /lacks Secure Execution \(.*prot_virt_host is 0\)/],
      [{ ...BARE, snp: "Y" }, "", /lacks Secure Execution/],
      [{ ...BARE, secureExecution: "1", accelerator: "tcg" }, "", /lacks a KVM that works/],
      [{ ...BARE, secureExecution: "1" }, INITDATA, /initdata/],
    ] as const) {
      expect(() => confidentialGuest(wish, host, initdata)).toThrow(
        expect.objectContaining({ code: "unsupported", message: expect.stringMatching(message) }),
      );
    }
  });

  test("is SEV-SNP's of an IGVM file with Cloud Hypervisor, also where Microsoft's hypervisor tells nothing", () => {
    const wish = wishOf(
      'igvm = "/guest.igvm"\n',
      '[hypervisor.clh]\nconfidential_guest = true\nshared_fs = "none"\n',
    );
    for (const host of [
      { ...BARE, accelerator: "mshv" as const },
      { ...BARE, snp: "Y", tdx: "Y" },
    ]) {
      expect(confidentialGuest(wish, host, INITDATA)).toMatchObject({ kind: "sev-snp", igvm: "/guest.igvm" });
    }
    expect(() => confidentialGuest(wish, { ...BARE, accelerator: "tcg" }, "")).toThrow(
      expect.objectContaining({ code: "unsupported" }),
    );
    expect(() => confidentialGuest(wishOf(), { ...BARE, accelerator: "mshv" }, "")).toThrow(
      expect.objectContaining({ code: "unsupported" }),
    );
  });

  test("is TDX's where the host has it, with the quote service that is there", () => {
    expect(confidentialGuest(wishOf(), { ...BARE, tdx: "Y", quoteSocket: "/qgs" }, "")).toEqual({
      kind: "tdx",
      configurationId: "",
      quoteService: { kind: "unix", path: "/qgs" },
    });
    const port = wishOf("tdx_quote_generation_service_socket_port = 4051\n");
    expect(confidentialGuest(port, { ...BARE, tdx: "1", quoteSocket: "/qgs" }, "")).toMatchObject({
      quoteService: { kind: "vsock", port: 4051 },
    });
  });

  test("is SEV-SNP's where the host has it, with what is measured", () => {
    const wish = wishOf('snp_id_block = "aWQ="\nsnp_id_auth = "YXV0aA=="\nsnp_guest_policy = 196609\n');
    expect(confidentialGuest(wish, { ...BARE, snp: "Y", encryptionBit: 47 }, INITDATA)).toEqual({
      kind: "sev-snp",
      igvm: "",
      encryptionBit: 47,
      policy: 196_609,
      idBlock: "aWQ=",
      idAuthentication: "YXV0aA==",
      hostData: expect.stringMatching(/^[A-Za-z0-9+/]{43}=$/),
    });
  });

  test.each([
    ["nothing", BARE, "", /lacks SEV-SNP \(.*sev_snp is absent\), TDX \(.*tdx is absent\)/],
    ["SEV-SNP switched off", { ...BARE, snp: "N" }, "", /SEV-SNP \(.*sev_snp is N\)/],
    [
      "TDX for who wants SEV-SNP",
      { ...BARE, tdx: "Y" },
      "sev_snp_guest = true\n",
      /lacks SEV-SNP \([^)]*\)( |$)/,
    ],
    [
      "no KVM",
      { ...BARE, accelerator: "tcg", snp: "Y" } as const,
      "",
      /lacks a KVM that works \(there is tcg\)/,
    ],
  ])("says what is missing of a host with %s", (_what, host, more, message) => {
    expect(() => confidentialGuest(wishOf(more), host, "")).toThrow(
      expect.objectContaining({ code: "unsupported", message: expect.stringMatching(message) }),
    );
  });
});
