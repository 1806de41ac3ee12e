/** Time, time zones and environment of a Node process, for policies. */
import type { HostProviders } from "../rego/evaluation.ts";
import { RegoObject } from "../rego/values.ts";
import { schemaIssues } from "./json-schema.ts";
import { checkSchema } from "./json-schema-check.ts";
import { nodeCertificates } from "./node-certificates.ts";

export function nodeProviders(): HostProviders {
  return {
    now: () => BigInt(Date.now()) * 1_000_000n,
    random: Math.random,
    zone: zoneAt,
    certificates: nodeCertificates,
    schemas: { issues: schemaIssues, check: checkSchema },
    environment: () => {
      const runtime = new RegoObject();
      const variables = Object.entries(process.env).flatMap(([key, value]): [string, string][] =>
        value === undefined ? [] : [[key, value]],
      );
      runtime.set("env", RegoObject.of(variables));
      return runtime;
    },
  };
}

/** The offset of an IANA zone, from the host's own time zone data. */
function zoneAt(
  zone: string,
  seconds: number,
): { readonly offset: number; readonly name: string } | undefined {
  try {
    const parts = (style: "longOffset" | "short") =>
      new Intl.DateTimeFormat("en-US", { timeZone: zone, timeZoneName: style })
        .formatToParts(new Date(seconds * 1000))
        .find(({ type }) => type === "timeZoneName")?.value ?? "";
    const match = /^GMT(?:([+-])(\d{2}):(\d{2})(?::(\d{2}))?)?$/.exec(parts("longOffset"));
    if (!match) return undefined;
    const [, sign, hours = "0", minutes = "0", rest = "0"] = match;
    const offset = (sign === "-" ? -1 : 1) * (Number(hours) * 3600 + Number(minutes) * 60 + Number(rest));
    const short = parts("short");
    return {
      offset,
      name: short.startsWith("GMT") ? (sign ?? "+") + hours + (minutes === "00" ? "" : minutes) : short,
    };
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}
