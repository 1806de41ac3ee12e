import { expect, test } from "vitest";
import { encodePodSandboxConfig } from "../../../build/generated/cri.ts";
import { hostsText, resolvConfText } from "./pod-files.ts";
import { memberSpecification, podSpecification } from "./pod-specification.ts";

type Config = Parameters<typeof encodePodSandboxConfig>[0];

function specificationOf(config: Config, networkNamespace = "/run/netns/p") {
  const options = { typeUrl: "runtime.v1.PodSandboxConfig", value: encodePodSandboxConfig(config) };
  return podSpecification({ id: "p", options, networkNamespace, annotations: new Map([["own", "1"]]) });
}

test("a pod's configuration is told as the pause container's specification", () => {
  const resources = {
    cpuPeriod: 100_000n,
    cpuQuota: 50_000n,
    cpuShares: 512n,
    memoryLimitInBytes: 1n << 30n,
  };
  const config = {
    metadata: { name: "web", uid: "u-1", namespace: "shop", attempt: 0 },
    hostname: "web-0",
    logDirectory: "/var/log/pods/web",
    annotations: new Map([
      ["io.katacontainers.config.hypervisor.default_vcpus", "2"],
      ["io.kubernetes.cri.sandbox-memory", "1"],
    ]),
    linux: { cgroupParent: "/kubepods/pod1", sysctls: new Map([["net.core.somaxconn", "9"]]), resources },
  };
  expect(specificationOf(config)).toEqual({
    ociVersion: "1.0.2",
    hostname: "web-0",
    annotations: {
      own: "1",
      "io.katacontainers.config.hypervisor.default_vcpus": "2",
      "io.kubernetes.cri.container-type": "sandbox",
      "io.kubernetes.cri.sandbox-id": "p",
      "io.kubernetes.cri.sandbox-name": "web",
      "io.kubernetes.cri.sandbox-namespace": "shop",
      "io.kubernetes.cri.sandbox-uid": "u-1",
      "io.kubernetes.cri.sandbox-log-directory": "/var/log/pods/web",
      "io.kubernetes.cri.sandbox-cpu-period": "100000",
      "io.kubernetes.cri.sandbox-cpu-quota": "50000",
      "io.kubernetes.cri.sandbox-cpu-shares": "512",
      // The container manager's word, not the pod's own.
      "io.kubernetes.cri.sandbox-memory": "1073741824",
    },
    linux: {
      namespaces: [{ type: "network", path: "/run/netns/p" }],
      sysctl: { "net.core.somaxconn": "9" },
      cgroupsPath: "/kubepods/pod1/p",
    },
  });
});

test("a systemd slice is named as systemd's driver names it", () => {
  const { linux } = specificationOf({ linux: { cgroupParent: "/kubepods.slice/kubepods-pod1.slice" } });
  expect(linux?.cgroupsPath).toBe("kubepods-pod1.slice:cri-containerd:p");
});

test.each([
  ["none but loopback without a network namespace", {}, [{ type: "network" }]],
  ["the host's if it asks for it", { linux: { securityContext: { namespaceOptions: { network: 2 } } } }, []],
])("a pod's network is %s", (_what, config, namespaces) => {
  expect(specificationOf(config, "").linux?.namespaces).toEqual(namespaces);
});

test("a client that brings no pod's configuration gets a sandbox of that id", () => {
  const description = { id: "p", options: undefined, networkNamespace: "", annotations: new Map() };
  expect(podSpecification(description)).toEqual({
    ociVersion: "1.0.2",
    annotations: { "io.kubernetes.cri.container-type": "sandbox", "io.kubernetes.cri.sandbox-id": "p" },
    linux: { namespaces: [{ type: "network" }], sysctl: {} },
  });
});

test("a member gets the pod's sysctls and files, where it has none of its own", () => {
  const files = {
    isFile: (path: string) => path === "/made/hosts",
    paths: new Map(["hosts", "hostname", "resolv.conf"].map((name) => [`/etc/${name}`, `/pod/${name}`])),
  };
  const pod = { ociVersion: "1.0.2", linux: { sysctl: { a: "pod", b: "pod" } } };
  const member = {
    ociVersion: "1.0.2",
    root: { path: "rootfs", readonly: true },
    mounts: [
      { destination: "/etc/hosts", source: "/made/hosts", type: "bind" },
      { destination: "/etc/hostname", source: "/not/made", type: "bind" },
      { destination: "/data", source: "/not/made/either", type: "bind" },
    ],
    linux: { sysctl: { b: "own" } },
  };
  expect(memberSpecification(member, pod, files)).toEqual({
    ...member,
    mounts: [
      { destination: "/etc/hosts", source: "/made/hosts", type: "bind" },
      { destination: "/etc/hostname", source: "/pod/hostname", type: "bind" },
      { destination: "/data", source: "/not/made/either", type: "bind" },
      {
        destination: "/etc/resolv.conf",
        source: "/pod/resolv.conf",
        type: "bind",
        options: ["rbind", "rprivate", "ro"],
      },
    ],
    linux: { sysctl: { a: "pod", b: "own" } },
  });
  expect(memberSpecification(member, pod, undefined).mounts).toEqual(member.mounts);
});

test("a pod's names and servers are written as hosts(5) and resolv.conf(5) have them", () => {
  expect(hostsText("web-0").split("\n")).toEqual(
    expect.arrayContaining(["127.0.0.1\tlocalhost", "127.0.1.1\tweb-0"]),
  );
  const dns = { servers: ["10.0.0.1", "10.0.0.2"], searches: ["shop.local", "local"], options: ["ndots:5"] };
  expect(resolvConfText(dns)).toBe(
    "search shop.local local\nnameserver 10.0.0.1\nnameserver 10.0.0.2\noptions ndots:5\n",
  );
  expect(resolvConfText({ servers: [], searches: [], options: [] })).toBeUndefined();
});
