/** Several links of a pod, and what changes in its network namespace while it runs. */
import { describe, expect } from "vitest";
import { mustRun } from "../harness/command.ts";
import { eventually } from "../harness/eventually.ts";
import { subject } from "../harness/subject.ts";
import { test, type Workbench } from "../harness/workbench.ts";

/** Emulated, on a busy host, a card takes seconds to come or go, ms. */
const CARD_DEADLINE_MS = 40_000;

/** From the ranges for documentation: RFC 5737, RFC 3849. */
const HOST_V4 = ["198.51.100.1", "203.0.113.1", "192.0.2.1"] as const;
const POD_V4 = ["198.51.100.2", "203.0.113.2", "192.0.2.2"] as const;
const HOST_V6 = ["2001:db8:1::1", "2001:db8:2::1", "2001:db8:3::1"] as const;
const POD_V6 = ["2001:db8:1::2", "2001:db8:2::2", "2001:db8:3::2"] as const;
/** Unlike each other and the default. */
const MTU = [1400, 1420, 1440] as const;
const NAMES = ["eth0", "net1", "net2"] as const;
type Position = 0 | 1 | 2;

let made = 0;

/** A pod's network namespace, and one that stands for the network around it. Both go with the object. */
class PodNetwork implements AsyncDisposable {
  readonly #pod: string;
  readonly #around: string;

  private constructor(tag: string) {
    this.#pod = `${tag}-${process.pid % 1000}p${made}`;
    this.#around = `${tag}-${process.pid % 1000}a${made++}`;
  }

  static async create(tag: string): Promise<PodNetwork> {
    const network = new PodNetwork(tag);
    await mustRun("ip", ["netns", "add", network.#pod]);
    await mustRun("ip", ["netns", "add", network.#around]);
    await network.inPod("link set lo up");
    return network;
  }

  /** Flags of `ctr run`. */
  get flags(): string[] {
    return ["--with-ns", `network:/run/netns/${this.#pod}`];
  }

  /** `ip` in the pod's namespace. */
  async inPod(words: string): Promise<string> {
    return await mustRun("ip", ["-n", this.#pod, ...words.split(" ")]);
  }

  /** Gives the pod a link, with addresses at both of its ends. */
  async add(position: Position, kind: "veth" | "macvlan"): Promise<void> {
    const name = NAMES[position];
    const outer = `out${position}`;
    const inAround = (words: string) => mustRun("ip", ["-n", this.#around, ...words.split(" ")]);
    const inner = kind === "veth" ? name : `low${position}`;
    await inAround(`link add ${outer} mtu ${MTU[position]} type veth peer name ${inner}`);
    await inAround(`address add ${HOST_V4[position]}/24 dev ${outer}`);
    await inAround(`address add ${HOST_V6[position]}/64 dev ${outer} nodad`);
    await inAround(`link set ${outer} up`);
    if (kind === "macvlan") {
      await inAround(`link set ${inner} mtu ${MTU[position]} up`);
      await inAround(`link add ${name} link ${inner} type macvlan mode bridge`);
    }
    await inAround(`link set ${name} netns ${this.#pod}`);
    // The order in which network plug-ins do it: the link comes without anything.
    await this.inPod(`link set ${name} mtu ${MTU[position]} up`);
    await this.inPod(`address add ${POD_V4[position]}/24 dev ${name}`);
    await this.inPod(`address add ${POD_V6[position]}/64 dev ${name} nodad`);
  }

  /** What of the runtime's own is in the pod's namespace. */
  async foreign(): Promise<string[]> {
    const links = JSON.parse(await this.inPod("-json link show")) as { ifname: string }[];
    return links.map(({ ifname }) => ifname).filter((name) => !["lo", ...NAMES].includes(name));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await mustRun("ip", ["netns", "delete", this.#pod]);
    await mustRun("ip", ["netns", "delete", this.#around]);
  }
}

/** One answer of each family for each of the pod's links. */
const PING_ALL = (positions: readonly Position[]): string =>
  positions
    .flatMap((position) => [
      `ping -c 1 -W 20 ${HOST_V4[position]}`,
      `ping -6 -c 1 -W 20 ${HOST_V6[position]}`,
    ])
    .map((command) => `${command} > /dev/null && echo answer`)
    .join("; ");

/** Looks into the container until `isIt` says yes. @returns what it saw then. */
function look(
  bench: Workbench,
  id: string,
  what: string,
  script: string,
  isIt: (text: string) => boolean,
): Promise<string> {
  let last = "";
  return eventually(
    what,
    CARD_DEADLINE_MS,
    async () => {
      const { stdout, stderr } = await bench.exec(id, script);
      last = stdout + stderr;
      return isIt(stdout) ? stdout : undefined;
    },
    () => last,
  );
}

describe("a pod with several links", () => {
  test("reaches the network over each of them, by IPv4 and IPv6", async ({ bench }) => {
    await using network = await PodNetwork.create(bench.ctr.instance.tag);
    await network.add(0, "veth");
    await network.add(1, "macvlan");
    await network.add(2, "veth");
    await network.inPod(`route add default via ${HOST_V4[0]}`);
    await network.inPod(`route add default via ${HOST_V4[1]} metric 200`);
    await network.inPod(`route add 10.9.0.0/16 via ${HOST_V4[2]}`);
    await network.inPod(`-6 route add default via ${HOST_V6[0]}`);
    await network.inPod(`neighbor add 192.0.2.9 lladdr 02:00:00:00:00:09 dev net2 nud permanent`);
    const script = [
      "for each in eth0 net1 net2; do cat /sys/class/net/$each/mtu; done",
      "ip -4 route",
      "ip -6 route | grep default",
      "cat /proc/net/arp | grep 192.0.2.9",
      PING_ALL([0, 1, 2]),
    ].join("; ");
    const { status, stdout, stderr } = await bench.run(script, network.flags);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    const lines = stdout.split("\n").map((line) => line.replace(/ +/g, " ").trim());
    expect(lines.slice(0, 3)).toEqual(MTU.map(String));
    expect(lines).toEqual(
      expect.arrayContaining([
        "default via 198.51.100.1 dev eth0",
        "default via 203.0.113.1 dev net1 metric 200",
        "10.9.0.0/16 via 192.0.2.1 dev net2",
        expect.stringMatching(/^default via 2001:db8:1::1 dev eth0/),
        expect.stringMatching(/^192\.0\.2\.9 .* 02:00:00:00:00:09 .* net2/),
      ]),
    );
    expect(lines.filter((line) => line === "answer")).toHaveLength(6);
    expect(await network.foreign()).toEqual([]);
  });
});

describe("a pod whose namespace changes while it runs", () => {
  test.skipIf(!subject.followsNetwork)(
    "has links that come late, loses those that go, and follows addresses and routes",
    async ({ bench }) => {
      await using network = await PodNetwork.create(bench.ctr.instance.tag);
      const id = await bench.detach("sleep 3600", network.flags);
      await network.add(0, "veth");
      await network.inPod(`route add default via ${HOST_V4[0]}`);
      const first = await look(
        bench,
        id,
        "the late link",
        `ip -4 -o addr; ip route; cat /sys/class/net/eth0/mtu; ${PING_ALL([0])}`,
        (text) => /default/.test(text) && text.split("answer").length === 3,
      );
      expect(first).toContain(`inet ${POD_V4[0]}/24`);
      expect(first).toContain(`default via ${HOST_V4[0]} dev eth0`);
      expect(first).toContain(`\n${MTU[0]}\n`);

      await network.add(1, "macvlan");
      await look(bench, id, "a second link", PING_ALL([1]), (text) => text.split("answer").length === 3);

      await network.inPod(`address add 198.51.100.77/24 dev eth0`);
      await network.inPod(`address delete ${POD_V6[0]}/64 dev eth0`);
      await network.inPod(`link set eth0 mtu 1300`);
      await network.inPod(`route replace default via 198.51.100.77 dev eth0`);
      await network.inPod(`route add 10.9.0.0/16 via ${HOST_V4[1]}`);
      const changed = await look(
        bench,
        id,
        "the changed routes",
        "ip -o addr show dev eth0; ip route; cat /sys/class/net/eth0/mtu",
        // What changes between two looks of the host is carried over with the next.
        (text) => /^10\.9\.0\.0\/16/m.test(text) && /198\.51\.100\.77/.test(text) && /^1300$/m.test(text),
      );
      expect(changed).toContain("inet 198.51.100.77/24");
      expect(changed).not.toContain(POD_V6[0]);
      expect(changed).toContain("10.9.0.0/16 via 203.0.113.1 dev net1");

      // One that came while the pod ran, and the name is free again for another.
      await network.inPod("link delete net1");
      const left = await look(bench, id, "a link that goes", "ls /sys/class/net; ip route", (text) => {
        return !text.includes("net1");
      });
      expect(left).toMatch(/^eth0$/m);
      expect(left).not.toContain("10.9.0.0/16");
      await network.add(2, "veth");
      await look(bench, id, "a third link", PING_ALL([2]), (text) => text.split("answer").length === 3);
      await bench.ctr.remove(id);
      expect(await network.foreign()).toEqual([]);
    },
  );

  test.skipIf(!subject.followsNetwork)("loses a link that it had from the start", async ({ bench }) => {
    await using network = await PodNetwork.create(bench.ctr.instance.tag);
    await network.add(0, "veth");
    await network.add(1, "veth");
    const id = await bench.detach("sleep 3600", network.flags);
    await network.inPod("link delete eth0");
    const left = await look(
      bench,
      id,
      "the end of the link",
      `ls /sys/class/net; ${PING_ALL([1])}`,
      (text) => !text.includes("eth0"),
    );
    expect(left.split("\n").filter((line) => line !== "")).toEqual(["lo", "net1", "answer", "answer"]);
  });
});
