/** Every builtin function, by name. */
import { type BuiltinTable, tableOf } from "../builtin-registry.ts";
import { AGGREGATES } from "./aggregates.ts";
import { BITS } from "./bits.ts";
import { COLLECTIONS } from "./collections.ts";
import { COMPARISONS } from "./comparisons.ts";
import { CRYPTO } from "./crypto.ts";
import { ENCODING } from "./encoding.ts";
import { GLOBS } from "./glob.ts";
import { GRAPHS } from "./graph.ts";
import { JSON_DOCUMENTS } from "./json-documents.ts";
import { JSON_SCHEMAS } from "./json-schema.ts";
import { TOKENS } from "./jwt.ts";
import { NETWORKS } from "./net.ts";
import { NUMBERS } from "./numbers.ts";
import { OBJECTS } from "./objects.ts";
import { REGEXES } from "./regex.ts";
import { SEMVER } from "./semver.ts";
import { STRINGS } from "./strings.ts";
import { SURROUNDINGS } from "./surroundings.ts";
import { TIMES } from "./time.ts";
import { TYPES } from "./types.ts";
import { UNITS } from "./units.ts";
import { URIS } from "./uri.ts";
import { UUIDS } from "./uuid.ts";
import { YAML } from "./yaml.ts";

export const ALL_BUILTINS: BuiltinTable = tableOf([
  ...YAML,
  ...NETWORKS,
  ...CRYPTO,
  ...TOKENS,
  ...SURROUNDINGS,
  ...URIS,
  ...GLOBS,
  ...REGEXES,
  ...TIMES,
  ...AGGREGATES,
  ...BITS,
  ...COLLECTIONS,
  ...COMPARISONS,
  ...ENCODING,
  ...GRAPHS,
  ...JSON_DOCUMENTS,
  ...JSON_SCHEMAS,
  ...NUMBERS,
  ...OBJECTS,
  ...SEMVER,
  ...STRINGS,
  ...TYPES,
  ...UNITS,
  ...UUIDS,
]);
