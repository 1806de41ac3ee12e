/**
 * Which pod a container belongs to, from the annotations that container managers set.
 * Source: containerd CRI, CRI-O and dockershim annotation names.
 */
import { KataError } from "../kata-error.ts";
import { checkId } from "./arguments.ts";

/** What a container is to its pod. */
export type ContainerRole =
  /** Not part of a pod: a sandbox of its own. */
  | { readonly role: "single" }
  /** The pod's first container, which brings the sandbox. */
  | { readonly role: "sandbox" }
  /** Joins the sandbox of that id. */
  | { readonly role: "member"; readonly sandboxId: string };

const CONVENTIONS = [
  { type: "io.kubernetes.cri.container-type", id: "io.kubernetes.cri.sandbox-id", sandbox: "sandbox" },
  { type: "io.kubernetes.cri-o.ContainerType", id: "io.kubernetes.cri-o.SandboxID", sandbox: "sandbox" },
  { type: "io.kubernetes.docker.type", id: "io.kubernetes.sandbox.id", sandbox: "podsandbox" },
] as const;

/** Whether CRI-O made the container with these annotations. */
export function isFromCrio(annotations: Readonly<Record<string, string>>): boolean {
  return Object.hasOwn(annotations, "io.kubernetes.cri-o.ContainerType");
}

/**
 * The role that `annotations` give a container.
 *
 * @throws KataError `invalid-argument` for a type that is neither sandbox nor container, or a member without a sandbox id.
 */
export function containerRole(annotations: Readonly<Record<string, string>>): ContainerRole {
  for (const convention of CONVENTIONS) {
    const type = annotations[convention.type];
    if (type === undefined) continue;
    if (type === convention.sandbox) return { role: "sandbox" };
    if (type !== "container") {
      throw new KataError("invalid-argument", {
        operation: "read annotations",
        object: `${convention.type}=${JSON.stringify(type.slice(0, 80))}`,
        hint: `it is "${convention.sandbox}" or "container"`,
      });
    }
    const sandboxId = annotations[convention.id] ?? "";
    if (sandboxId === "") {
      throw new KataError("invalid-argument", {
        operation: "read annotations",
        object: convention.id,
        hint: "a container of a pod names its sandbox there",
      });
    }
    checkId(sandboxId);
    return { role: "member", sandboxId };
  }
  return { role: "single" };
}
