import { describe, expect, test } from "vitest";
import { swapBytesOf, withSwapAnnotations } from "./swap-annotations.ts";
import type { LinuxMemory, Spec } from "./types.ts";

const PREFIX = "io.katacontainers.container.resource";
const DEFAULT_BYTES = 7;

function spec(annotations: Readonly<Record<string, string>>, memory?: LinuxMemory): Spec {
  const named = Object.entries(annotations).map(([name, value]) => [`${PREFIX}.${name}`, value]);
  return {
    ociVersion: "1.1.0",
    annotations: Object.fromEntries(named),
    ...(memory === undefined ? {} : { linux: { resources: { memory, pids: { limit: 3 } } } }),
  };
}

describe("withSwapAnnotations()", () => {
  test("makes limits of them, beside those that are there", () => {
    const memory = { limit: 1_073_741_824n, swap: 5n };
    const given = spec({ swappiness: "100", swap_in_bytes: "1610612736" }, memory);
    expect(withSwapAnnotations(given).linux).toEqual({
      resources: {
        memory: { limit: 1_073_741_824n, swap: 1_610_612_736n, swappiness: 100n },
        pids: { limit: 3 },
      },
    });
    expect(withSwapAnnotations(spec({ swappiness: "0" })).linux).toEqual({
      resources: { memory: { swappiness: 0n } },
    });
  });

  test("leaves a specification without them as it is", () => {
    const given = spec({}, { limit: 5n });
    expect(withSwapAnnotations(given)).toBe(given);
  });

  test.each([
    ["swappiness", "201"],
    ["swappiness", "-1"],
    ["swappiness", ""],
    ["swap_in_bytes", "1G"],
    ["swap_in_bytes", "9223372036854775808"],
    ["swap_in_bytes", "1".repeat(40)],
  ])("refuses %s = %j", (name, value) => {
    expect(() => withSwapAnnotations(spec({ [name]: value }))).toThrow(
      expect.objectContaining({ code: "invalid-argument", object: expect.stringContaining(name) }),
    );
  });
});

// Upstream's table.
test.each<[annotations: Record<string, string>, memory: LinuxMemory | undefined, bytes: number]>([
  [{ swappiness: "60", swap_in_bytes: "300" }, { limit: 100 }, 200],
  [{ swappiness: "60" }, { limit: 100 }, 100],
  [{ swappiness: "60" }, undefined, DEFAULT_BYTES],
  [{ swappiness: "60" }, { limit: -1 }, DEFAULT_BYTES],
  [{ swappiness: "60", swap_in_bytes: "100" }, { limit: 100 }, 0],
  [{ swappiness: "60", swap_in_bytes: "9223372036854775807" }, { limit: 1 }, 2 ** 63],
  [{ swappiness: "0", swap_in_bytes: "300" }, { limit: 100 }, 0],
  [{ swap_in_bytes: "300" }, { limit: 100 }, 0],
])("a container with %j and the limits %j may swap %d bytes", (annotations, memory, bytes) => {
  expect(swapBytesOf(withSwapAnnotations(spec(annotations, memory)), DEFAULT_BYTES)).toBe(bytes);
});
