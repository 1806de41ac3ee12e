import { describe, expect, test } from "vitest";
import { isAvailable, parseSkus } from "./skus.ts";

const sku = (name: string, capabilities: Record<string, string> = {}, rest: object = {}) => ({
  resourceType: "virtualMachines",
  name,
  family: "standardXFamily",
  locations: ["westeurope"],
  restrictions: [],
  capabilities: Object.entries(capabilities).map(([key, value]) => ({ name: key, value })),
  ...rest,
});

describe("parseSkus()", () => {
  test("lets what a size says of itself replace the table's word, and nothing else", () => {
    const found = parseSkus(
      [
        sku("Standard_D4s_v5", {
          HyperVGenerations: "V1,V2",
          vCPUs: "4",
          MemoryGB: "16",
          CpuArchitectureType: "x64",
        }),
        sku("Standard_D4s_v4", { HyperVGenerations: "V1" }),
        sku("Standard_Q4ps_v9", { CpuArchitectureType: "Arm64", HyperVGenerations: "V2" }),
        sku("Standard_Q4s_v9", { HyperVGenerations: "V2", CpuArchitectureType: "x64" }),
        sku("Standard_DC4ads_v6", { ConfidentialComputingType: "SNP" }),
        sku("Standard_DC4as_cc_v5", { ConfidentialComputingType: "SNP" }),
        sku("Standard_D2ls_v5", { HyperVGenerations: "V1,V2" }),
        { resourceType: "disks", name: "Premium_LRS" },
      ],
      "f",
    );
    expect(
      found.map((each) => [
        each.size,
        each.nestedVirtualization.answer,
        each.generation2.answer,
        each.verdict,
        each.cpus,
        each.memory,
      ]),
    ).toEqual([
      ["Standard_D4s_v5", "yes", "yes", "yes", 4, 16],
      ["Standard_D4s_v4", "yes", "no", "no", undefined, undefined],
      ["Standard_Q4ps_v9", "no", "yes", "no", undefined, undefined],
      ["Standard_Q4s_v9", "unknown", "yes", "unknown", undefined, undefined],
      ["Standard_DC4ads_v6", "no", "yes", "no", undefined, undefined],
      ["Standard_DC4as_cc_v5", "yes", "yes", "yes", undefined, undefined],
      ["Standard_D2ls_v5", "yes", "yes", "no", undefined, undefined],
    ]);
    expect(found[1]?.generation2.source).toBe("az vm list-skus: HyperVGenerations V1");
  });

  test("tells restrictions; one of zones leaves the size available", () => {
    const restricted = (type: string, zones: string[] = []) =>
      sku(
        "Standard_D4s_v5",
        {},
        { restrictions: [{ type, reasonCode: "NotAvailableForSubscription", restrictionInfo: { zones } }] },
      );
    const found = parseSkus([restricted("Location"), restricted("Zone", ["1", "3"])], "f");
    expect(found.map((each) => [each.restrictions, isAvailable(each)])).toEqual([
      [["NotAvailableForSubscription"], false],
      [["NotAvailableForSubscription in zones 1, 3"], true],
    ]);
  });

  test.each([[{}], [["x"]], [null], ["text"]])("refuses %j", (document) => {
    expect(() => parseSkus(document, "f")).toThrowError(
      /read SKUs: f \(expected the list that `az vm list-skus/,
    );
  });
});
