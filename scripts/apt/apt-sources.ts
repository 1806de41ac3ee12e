/**
 * What apt's source lists say: the classic one-line `.list` files and the deb822 `.sources` files.
 *
 * Only what is needed to reach an archive is read; options such as `trusted=yes`, which would weaken it, are not.
 * Source: sources.list(5); deb822(5).
 */

/** One entry of a source list: every suite is offered at every URI. */
export interface AptSource {
  readonly uris: readonly string[];
  readonly suites: readonly string[];
  readonly components: readonly string[];
  /** Keyring paths, fingerprints, or a whole key as deb822 continuation lines; exactly as written. */
  readonly signedBy: string | undefined;
}

/** A deb822 stanza; field names in lower case. Continuation lines keep their leading blank. */
export type Stanza = ReadonlyMap<string, string>;

/** Splits deb822 text into stanzas; comment lines are dropped, a line without a colon is ignored as apt does. */
export function parseDeb822(text: string): Stanza[] {
  const stanzas: Stanza[] = [];
  let fields = new Map<string, string>();
  let last: string | undefined;
  const close = () => {
    if (fields.size > 0) stanzas.push(fields);
    fields = new Map();
    last = undefined;
  };
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith("#")) continue;
    if (line.trim() === "") {
      close();
    } else if (/^[ \t]/.test(line)) {
      if (last !== undefined) fields.set(last, `${fields.get(last) ?? ""}\n${line.trimEnd()}`);
    } else {
      const colon = line.indexOf(":");
      if (colon <= 0) continue;
      last = line.slice(0, colon).trim().toLowerCase();
      fields.set(last, line.slice(colon + 1).trim());
    }
  }
  close();
  return stanzas;
}

/** The enabled entries of a `.sources` file, binary or source. */
export function parseSourcesFile(text: string): AptSource[] {
  return parseDeb822(text)
    .filter((stanza) => !/^(no|false|0|off|without|disable)$/i.test(stanza.get("enabled") ?? "yes"))
    .map((stanza) => ({
      uris: words(stanza.get("uris")),
      suites: words(stanza.get("suites")),
      components: words(stanza.get("components")),
      signedBy: stanza.get("signed-by"),
    }));
}

/** The entries of a `.list` file: `deb [option=value …] URI SUITE COMPONENT…`. */
export function parseListFile(text: string): AptSource[] {
  const sources: AptSource[] = [];
  for (const line of text.split(/\r?\n/)) {
    const match = /^\s*deb(?:-src)?\s+(?:\[([^\]]*)\]\s+)?([^\s[#]+)\s+([^\s#]+)([^#]*)/.exec(line);
    if (match === null) continue;
    const [, options = "", uri = "", suite = "", components = ""] = match;
    const signedBy = words(options)
      .map((option) => /^signed-by=(.+)$/i.exec(option)?.[1])
      .find((value) => value !== undefined);
    sources.push({
      uris: [uri],
      suites: [suite],
      components: words(components),
      // The one-line style separates with commas, deb822 with blanks.
      signedBy: signedBy?.replaceAll(",", " "),
    });
  }
  return sources;
}

function words(text: string | undefined): string[] {
  return (text ?? "").split(/\s+/).filter((word) => word !== "");
}
