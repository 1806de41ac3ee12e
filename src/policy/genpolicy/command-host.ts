/** What the command needs of the system it runs on; tests hand in their own. */
import type { GenerateArguments } from "./arguments.ts";
import type { Images } from "./image/images.ts";
import type { Settings, SettingsSource } from "./settings.ts";

export interface CommandHost {
  readonly readFile: (path: string) => Promise<string>;
  readonly writeFile: (path: string, text: string) => Promise<void>;
  /** Standard input to its end. */
  readonly readInput: () => Promise<string>;
  readonly writeOut: (text: string) => Promise<void>;
  readonly writeError: (text: string) => void;
  /** Settings in a file or directory; without a path those of the current directory, or the built-in ones. */
  readonly readSettings: (path: string | undefined) => Promise<SettingsSource>;
  readonly readRules: (path: string | undefined) => Promise<string>;
  /** `close` keeps what was learnt about layers. */
  readonly openImages: (
    args: GenerateArguments,
    settings: Settings,
  ) => Promise<{ readonly images: Images; readonly close: () => Promise<void> }>;
}
