/**
 * What a pod may change of the configuration by its annotations.
 *
 * Whoever writes a pod is not who runs the node: an annotation about the machine, and any other that reaches the host, counts
 * only if the node's configuration enables it by name; a path only if the configuration lists it; an argument for a program of
 * the host only if it is one of a few harmless ones (CVE-2020-27151, CVE-2026-44210). Which file is the configuration is no
 * annotation's business (CVE-2026-50540).
 */
import { KataError } from "../kata-error.ts";
import {
  type Configuration,
  SECTIONS,
  type SectionName,
  sectionValues,
  withValues,
} from "./configuration.ts";
import { driverOf, type Key } from "./key.ts";
import { suggestion } from "./nearest-name.ts";
import { findContradictions } from "./validate.ts";
import { readAnnotationValue } from "./value.ts";
import { withoutEffect } from "./without-effect.ts";

const PREFIX = "io.katacontainers.";

/** What stands in front of the names of a section's annotations. */
export const ANNOTATION_PREFIXES: Readonly<Partial<Record<SectionName, string>>> = {
  hypervisor: `${PREFIX}config.hypervisor.`,
  runtime: `${PREFIX}config.runtime.`,
  agent: `${PREFIX}config.agent.`,
};

interface Target {
  readonly section: SectionName;
  readonly name: string;
  readonly key: Key;
  /** Name without the section's prefix: what `enable_annotations` is about. */
  readonly suffix: string;
}

/** Full names of the annotations of `key`. */
export function annotationNames(section: SectionName, name: string, key: Key): string[] {
  const prefix = ANNOTATION_PREFIXES[section];
  if (prefix === undefined || key.annotation === undefined) return [];
  const own = key.annotation === true ? name : key.annotation;
  return [own, ...(key.otherAnnotations ?? [])].map((each) =>
    each.startsWith("io.") ? each : prefix + each,
  );
}

let targets: Map<string, Target> | undefined;

/** All annotations by their full names. */
function knownAnnotations(): Map<string, Target> {
  if (targets !== undefined) return targets;
  targets = new Map();
  for (const section of ["hypervisor", "runtime", "agent"] as const) {
    for (const [name, key] of Object.entries(SECTIONS[section])) {
      for (const full of annotationNames(section, name, key)) {
        targets.set(full, {
          section,
          name,
          key,
          suffix: full.slice(
            full.lastIndexOf(".config.") < 0 ? PREFIX.length : (ANNOTATION_PREFIXES[section] ?? "").length,
          ),
        });
      }
    }
  }
  return targets;
}

/**
 * `configuration` as the pod with these annotations gets it. Annotations of others, and those about other things than
 * configuration, are passed over; unknown ones below our prefixes become warnings.
 *
 * @throws KataError `permission-denied` for an annotation that is not enabled or a path that is not listed.
 * @throws KataError `invalid-argument` for a value of the wrong type or out of its bounds, or that contradicts others.
 */
export function applyAnnotations(
  configuration: Configuration,
  annotations: Readonly<Record<string, string>>,
): Configuration {
  const known = knownAnnotations();
  const values = sectionValues(configuration);
  const warnings = [...configuration.warnings];
  let changed = false;
  for (const [annotation, text] of Object.entries(annotations)) {
    const target = known.get(annotation);
    if (target === undefined) {
      if (Object.values(ANNOTATION_PREFIXES).some((prefix) => annotation.startsWith(prefix))) {
        warnings.push(
          `unknown annotation ${annotation.slice(0, 200)}${suggestion(annotation, known.keys())}`,
        );
      }
      continue;
    }
    changed = true;
    if (target.section === "hypervisor" || target.key.guarded === true) {
      checkEnabled(configuration, annotation, target.suffix);
    }
    const value = readValue(target, annotation, text);
    checkListed(configuration, target, annotation, value);
    checkItems(target, annotation, value);
    const idle = withoutEffect(target.name, target.key, configuration.driver, value);
    if (idle !== undefined) warnings.push(`${annotation}: ${idle}`);
    const section = values[target.section];
    section[target.name] = target.key.appends === true ? join(section[target.name], value) : value;
    // A guest has one root: who asks for another kind takes the configured one's place.
    if (target.section === "hypervisor" && target.name === "image" && !hasAsset(annotations, "initrd"))
      section.initrd = "";
    if (target.section === "hypervisor" && target.name === "initrd" && !hasAsset(annotations, "image"))
      section.image = "";
  }
  if (!changed)
    return warnings.length === configuration.warnings.length ? configuration : { ...configuration, warnings };
  const result = withValues({ ...configuration, warnings }, values);
  checkDriver(result);
  for (const { key, why } of findContradictions(result)) throw refuse("invalid-argument", key, why);
  return result;
}

function hasAsset(annotations: Readonly<Record<string, string>>, name: string): boolean {
  return Object.hasOwn(annotations, `${ANNOTATION_PREFIXES.hypervisor}${name}`);
}

function join(before: unknown, more: unknown): string {
  return [before, more].filter((text) => text !== "").join(" ");
}

function readValue({ key }: Target, annotation: string, text: string): Key["default"] {
  const checked = readAnnotationValue(key, text);
  if (checked.ok) return checked.value;
  throw refuse("invalid-argument", annotation, checked.why);
}

/** Longest regular expression of a configuration. */
const MAX_PATTERN_LENGTH = 256;

function checkEnabled({ hypervisor }: Configuration, annotation: string, suffix: string): void {
  if (hypervisor.enable_annotations.some((pattern) => matchesName(pattern, suffix))) return;
  throw refuse(
    "permission-denied",
    annotation,
    `it is not enabled on this node; add ${JSON.stringify(suffix)} to enable_annotations in configuration.toml`,
  );
}

/** Whether `pattern` is about the whole of `name`: one for `image` is not one for `disable_image_nvdimm`. */
function matchesName(pattern: string, name: string): boolean {
  if (pattern === name) return true;
  if (pattern.length > MAX_PATTERN_LENGTH) return false;
  return compile("enable_annotations", pattern, `(?:${pattern})`).test(name);
}

/** `expression` for a whole text. @param written as the configuration has it. */
function compile(what: string, written: string, expression: string): RegExp {
  try {
    return new RegExp(`^${expression}$`);
  } catch (cause) {
    throw new KataError("invalid-configuration", {
      operation: `read ${what}`,
      object: JSON.stringify(written),
      hint: "correct this pattern in configuration.toml",
      cause,
    });
  }
}

function checkListed(
  { hypervisor }: Configuration,
  target: Target,
  annotation: string,
  value: unknown,
): void {
  const { validBy } = target.key;
  if (validBy === undefined || typeof value !== "string") return;
  const globs = (hypervisor as Readonly<Record<string, unknown>>)[validBy];
  if (Array.isArray(globs) && globs.some((glob) => typeof glob === "string" && matchesGlob(glob, value)))
    return;
  throw refuse(
    "permission-denied",
    annotation,
    `${JSON.stringify(value.slice(0, 200))} is not among ${validBy} of this node`,
  );
}

/** What a pod adds to a command line of the host is among what the key's row lists. */
function checkItems({ key }: Target, annotation: string, value: unknown): void {
  const { podItems } = key;
  if (podItems === undefined) return;
  for (const item of Array.isArray(value) ? value : String(value).split(",")) {
    if (podItems.some((pattern) => pattern.test(item))) continue;
    const shown = JSON.stringify(String(item).slice(0, 200));
    throw refuse("permission-denied", annotation, `${shown} is no argument that a pod may set`);
  }
}

/** A pod may name the driver, but not have another than the one whose table this is. */
function checkDriver({ driver, runtime }: Configuration): void {
  const { hypervisor_name: name } = runtime;
  if (name === "" || driverOf(name) === driver) return;
  throw refuse(
    "invalid-argument",
    `${ANNOTATION_PREFIXES.runtime}hypervisor_name`,
    `this node's configuration is for ${driver}, not for ${JSON.stringify(name.slice(0, 80))}`,
  );
}

/** Whether the glob (`*`, `?`, `[…]`, none of them across a slash) is about the whole of `path`. */
export function matchesGlob(glob: string, path: string): boolean {
  if (glob.length > MAX_PATTERN_LENGTH) return false;
  const pattern = glob.replace(/\[!?[^\]/]+\]|[\\^$.*+?()[\]{}|]/g, (part) => {
    if (part === "*") return "[^/]*";
    if (part === "?") return "[^/]";
    if (part.length > 1) return part.replace(/^\[!/, "[^").replaceAll("\\", "\\\\");
    return `\\${part}`;
  });
  return compile("globs of paths", glob, pattern).test(path);
}

function refuse(code: string, annotation: string, why: string): KataError {
  return new KataError(code, { operation: "apply annotation", object: annotation, hint: why });
}
