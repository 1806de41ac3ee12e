/**
 * /etc/hostname, /etc/hosts and /etc/resolv.conf of a pod, which containerd makes for pause containers and leaves to a shim
 * that brings up sandboxes itself. They lie in the sandbox's bundle and go with it.
 * Source: hosts(5), resolv.conf(5); containerd's CRI plug-in, files of a sandbox.
 */
import {
  mkdirIfMissing,
  readTextFileIfExists,
  replaceFile,
  S_IFMT,
  S_IFREG,
  statIfExists,
} from "../../sys/files.ts";
import { uname } from "../../sys/host.ts";
import type { DNSConfig, PodSandboxConfig } from "../generated.ts";
import type { PodFiles } from "./pod-specification.ts";

const HOST_RESOLV_CONF = "/etc/resolv.conf";

/** Writes the files. @returns where they are. */
export function writePodFiles(bundle: string, config: PodSandboxConfig): PodFiles {
  const directory = `${bundle}/etc`;
  mkdirIfMissing(directory, 0o711);
  const hostname = config.hostname || uname().hostname;
  const texts = new Map([
    ["hostname", `${hostname}\n`],
    ["hosts", hostsText(hostname)],
    ["resolv.conf", resolvConfText(config.dnsConfig) ?? readTextFileIfExists(HOST_RESOLV_CONF) ?? ""],
  ]);
  const paths = new Map<string, string>();
  for (const [name, text] of texts) {
    const path = `${directory}/${name}`;
    // Users of all kinds read them.
    replaceFile(path, text, 0o644);
    paths.set(`/etc/${name}`, path);
  }
  return { isFile, paths };
}

function isFile(path: string): boolean {
  return ((statIfExists(path)?.mode ?? 0) & S_IFMT) === S_IFREG;
}

/** What a host says of itself before it is told of others. */
export function hostsText(hostname: string): string {
  return [
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "ff00::0\tip6-mcastprefix",
    "ff02::1\tip6-allnodes",
    "ff02::2\tip6-allrouters",
    `127.0.1.1\t${hostname}`,
    "",
  ].join("\n");
}

/** @returns undefined if the pod says nothing of names: the host's own settings are used then. */
export function resolvConfText(dns: DNSConfig | undefined): string | undefined {
  const { servers = [], searches = [], options = [] } = dns ?? {};
  if (servers.length + searches.length + options.length === 0) return undefined;
  return [
    ...(searches.length === 0 ? [] : [`search ${searches.join(" ")}`]),
    ...servers.map((server) => `nameserver ${server}`),
    ...(options.length === 0 ? [] : [`options ${options.join(" ")}`]),
    "",
  ].join("\n");
}
