/** A root filesystem with one static program, this one: enough for a container that starts and ends. */
import { chmod, mkdirAll, O_CREAT, O_RDONLY, O_WRONLY, open, readlink } from "../../sys/files.ts";
import { copySparse } from "../../sys/sparse-copy.ts";

/** Makes it in `directory`, which is its maker's to remove. */
export async function makeWarmRoot(directory: string): Promise<void> {
  for (const name of ["bin", "proc", "sys", "dev", "run"]) mkdirAll(`${directory}/${name}`);
  await copyFileTo(readlink("/proc/self/exe"), `${directory}/bin/program`);
  chmod(`${directory}/bin/program`, 0o755);
}

async function copyFileTo(from: string, to: string): Promise<void> {
  using source = open(from, O_RDONLY);
  using target = open(to, O_WRONLY | O_CREAT, 0o700);
  await copySparse(source.fd, target.fd);
}
