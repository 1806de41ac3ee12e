/** kata-measure: what a confidential machine's report must show, computed without one. Runs under Node. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { describeError, KataError } from "../kata-error.ts";
import { hostData, initdataDigest, parseInitdata } from "../policy/initdata/initdata.ts";
import { guestCommandLine } from "./guest-command-line.ts";
import { readSnpFirmware } from "./snp-firmware.ts";
import { snpLaunchMeasurement } from "./snp-launch.ts";
import { PROCESSOR_MODELS, processorSignature } from "./snp-processor.ts";

const USAGE = `kata-measure computes what a confidential machine's attestation report must show.

Usage:
  kata-measure snp --firmware OVMF --processors N --model MODEL [--kernel FILE] [--initrd FILE] [--append TEXT]
                   [--features N]
  kata-measure command-line --config FILE [--processors N]
  kata-measure initdata FILE [--platform snp|tdx|cca|se]

  snp        the launch measurement of SEV-SNP, hexadecimal. MODEL is QEMU's (${PROCESSOR_MODELS.join(", ")});
             --features is SEV_FEATURES of the host's kernel (1)
  command-line
             what the runtime tells the kernel of a machine of that configuration.toml, for --append: with kernel_verity_params
             the root hash of the guest's disk is in it
  initdata   the digest of a TOML file by its own algorithm, hexadecimal; with --platform as base64 of the field that
             the machine is started with (host-data of SEV-SNP, mrconfigid of TDX)

Example:
  kata-measure snp --firmware OVMF.amdsev.fd --processors 1 --model EPYC-v4 --kernel vmlinuz --initrd initrd --append ''
`;

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

const HASHES = {
  sha256: (bytes: Uint8Array) => createHash("sha256").update(bytes).digest(),
  sha384: (bytes: Uint8Array) => createHash("sha384").update(bytes).digest(),
};

const OPTIONS = {
  config: { type: "string" },
  firmware: { type: "string" },
  kernel: { type: "string" },
  initrd: { type: "string" },
  append: { type: "string" },
  processors: { type: "string", default: "1" },
  model: { type: "string", default: "EPYC-v4" },
  features: { type: "string", default: "1" },
  platform: { type: "string" },
  help: { type: "boolean", short: "h", default: false },
} as const;

function main(args: readonly string[]): number {
  let parsed: ReturnType<typeof read>;
  try {
    parsed = read(args);
  } catch (error) {
    process.stderr.write(`kata-measure: ${describeError(error)}\n`);
    return EXIT_USAGE;
  }
  const { values, positionals } = parsed;
  const [verb, file] = positionals;
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  try {
    if (verb === "snp" && values.firmware !== undefined) {
      process.stdout.write(`${measureSnp(values, values.firmware)}\n`);
      return 0;
    }
    if (verb === "command-line" && values.config !== undefined) {
      const text = readFileSync(values.config, "utf8");
      process.stdout.write(`${guestCommandLine(text, values.config, Number(values.processors))}\n`);
      return 0;
    }
    if (verb === "initdata" && file !== undefined) {
      process.stdout.write(`${digestInitdata(file, values.platform)}\n`);
      return 0;
    }
  } catch (error) {
    process.stderr.write(`kata-measure: ${describeError(error)}\n`);
    return EXIT_FAILED;
  }
  process.stderr.write(USAGE);
  return EXIT_USAGE;
}

function read(args: readonly string[]) {
  return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
}

function measureSnp(values: ReturnType<typeof read>["values"], firmware: string): string {
  const signature = processorSignature(values.model);
  if (signature === undefined) {
    const hint = `it is one of ${PROCESSOR_MODELS.join(", ")}`;
    throw new KataError("invalid-argument", { operation: "use processor model", object: values.model, hint });
  }
  const boot =
    values.kernel === undefined
      ? undefined
      : {
          kernel: readFileSync(values.kernel),
          initrd: values.initrd === undefined ? new Uint8Array() : readFileSync(values.initrd),
          commandLine: values.append ?? "",
        };
  const machine = {
    firmware: readSnpFirmware(readFileSync(firmware)),
    boot,
    processors: Number(values.processors),
    signature,
    features: Number(values.features),
  };
  return Buffer.from(snpLaunchMeasurement(machine, HASHES)).toString("hex");
}

function digestInitdata(file: string, platform: string | undefined): string {
  const text = readFileSync(file);
  const { algorithm } = parseInitdata(text.toString("utf8"), file);
  const digest = initdataDigest(algorithm, text);
  if (platform === undefined) return Buffer.from(digest).toString("hex");
  if (platform !== "snp" && platform !== "tdx" && platform !== "cca" && platform !== "se") {
    const hint = "it is snp, tdx, cca or se";
    throw new KataError("invalid-argument", { operation: "use platform", object: platform, hint });
  }
  return Buffer.from(hostData(digest, platform)).toString("base64");
}

process.exitCode = main(process.argv.slice(2));
