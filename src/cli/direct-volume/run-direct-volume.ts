/** `kata-runtime direct-volume`: what it does. */
import { KataError } from "../../kata-error.ts";
import { addDirectVolume, removeDirectVolume, sandboxOfVolume } from "../../sandbox/storage/direct-volume.ts";
import { utf8Decode, utf8Encode } from "../../sys/utf8.ts";
import { askShim } from "../ask-shim.ts";
import { type CommandContext, EXIT_OK } from "../types.ts";

export async function runAdd(context: CommandContext): Promise<number> {
  addDirectVolume(value(context, "volume-path", 0), value(context, "mount-info", 1));
  return EXIT_OK;
}

export async function runRemove(context: CommandContext): Promise<number> {
  removeDirectVolume(value(context, "volume-path", 0));
  return EXIT_OK;
}

/** @throws KataError `not-found` if no pod uses the volume. */
export async function runStats(context: CommandContext): Promise<number> {
  const path = value(context, "volume-path", 0);
  const target = `/direct-volume/stats?path=${encodeURIComponent(path)}`;
  const answer = await askShim({ sandboxId: sandboxOfVolume(path), method: "GET", target });
  context.output.data(`${utf8Decode(answer)}\n`);
  return EXIT_OK;
}

/** @throws KataError `not-found` if no pod uses the volume; with the shim's words if it cannot grow. */
export async function runResize(context: CommandContext): Promise<number> {
  const path = value(context, "volume-path", 0);
  const size = value(context, "size", 1);
  if (!/^[1-9]\d{0,15}$/.test(size) || !Number.isSafeInteger(Number(size))) {
    throw new KataError("invalid-argument", {
      operation: "resize volume",
      object: JSON.stringify(size.slice(0, 40)),
      hint: "--size is a number of bytes",
    });
  }
  const body = utf8Encode(JSON.stringify({ VolumePath: path, Size: Number(size) }));
  await askShim({ sandboxId: sandboxOfVolume(path), method: "POST", target: "/direct-volume/resize", body });
  return EXIT_OK;
}

/** A flag's value, or the word at its place: `kata-ctl` takes words. */
function value({ flags, operands }: CommandContext, name: string, place: number): string {
  const given = flags.get(name) ?? operands[place];
  if (typeof given === "string") return given;
  throw new KataError("invalid-argument", {
    operation: "use direct volume",
    object: "the command line",
    hint: `--${name} is missing`,
  });
}
