/** What the engine host (`native/engine.c`) gives a program; absent under Node. */

export interface NativeHost {
  syscall(name: string, ...args: readonly unknown[]): number;
  /** Tells the numbers of the system calls; before the first one. */
  nameSyscalls(numbers: Readonly<Record<string, number>>): void;
  addressOf(buffer: ArrayBuffer | ArrayBufferView): number;
  pageOf(address: number, length: number): ArrayBuffer;
  utf8Encode(text: string): ArrayBuffer;
  utf8EncodeInto(text: string, buffer: Uint8Array, offset: number): number;
  utf8Decode(buffer: ArrayBuffer | ArrayBufferView, offset?: number, length?: number): string;
  readonly argv: readonly string[];
  readonly environ: readonly string[];
  readonly architecture: "x86_64" | "aarch64";
  /** The table of a part of the program; null if it has none of that name. */
  sourceLines(part: string): ArrayBuffer | null;
  /** Runs a bytecode module of the build that is no part of the program, and gives its exports. */
  runModule(bytecode: Uint8Array): unknown;
  tick?: () => boolean;
  onUncaught?: (error: unknown) => void;
  onRejection?: (promise: Promise<unknown>, reason: unknown, handled: boolean) => void;
}

declare global {
  var __kata: NativeHost | undefined;
}

/** The host, or undefined under Node. */
export const nativeHost: NativeHost | undefined = globalThis.__kata;
