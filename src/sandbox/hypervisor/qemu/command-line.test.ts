import { describe, expect, test } from "vitest";
import type { MachineSpec } from "../types.ts";
import { type InheritedDescriptors, qemuArguments } from "./command-line.ts";

const SPEC: MachineSpec = {
  id: "pod1",
  program: "/usr/bin/qemu-system-x86_64",
  accelerator: "kvm",
  machineType: "q35",
  machineOptions: "",
  cpuFeatures: "pmu=off",
  firmware: "",
  kernel: "/k",
  root: { kind: "initrd", path: "/i" },
  kernelParameters: "agent.log=info",
  debug: false,
  vcpus: 2,
  maxVcpus: 2,
  memoryMib: 512,
  hugePages: false,
  preallocateMemory: false,
  reclaimMemory: false,
  hotPlugSlots: 1,
  entropySource: "/dev/urandom",
  devices: [],
  networkNamespace: undefined,
  runDirectory: "/run/kata/s",
  cgroups: [],
};

const SERIAL: InheritedDescriptors = { monitor: 3, console: 4, agent: 5, vsock: undefined, devices: [] };

/** The values of every option `name`. */
function valuesOf(name: string, args: readonly string[]): string[] {
  return args.filter((_, index) => args[index - 1] === name);
}

describe("qemuArguments()", () => {
  test("makes a q35 machine with the agent on virtio-serial", () => {
    const args = qemuArguments(SPEC, SERIAL);
    expect(args.slice(0, args.indexOf("-append"))).toEqual([
      ...["-name", "sandbox-pod1"],
      ...["-machine", "q35,accel=kvm,memory-backend=memory0"],
      ...["-cpu", "host,pmu=off"],
      ...["-smp", "2,maxcpus=2"],
      ...["-m", "512M"],
      ...["-object", "memory-backend-memfd,id=memory0,size=512M,share=on"],
      ...["-no-user-config", "-nodefaults", "-display", "none", "-vga", "none", "-no-reboot"],
      ...["-rtc", "base=utc,driftfix=slew,clock=host"],
      ...["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
      ...["-chardev", "socket,id=monitor,fd=3", "-mon", "chardev=monitor,mode=control"],
      ...["-chardev", "socket,id=console,fd=4", "-serial", "chardev:console"],
      ...["-device", "virtio-serial-pci,id=serial0", "-chardev", "socket,id=agent,fd=5"],
      ...["-device", "virtserialport,bus=serial0.0,chardev=agent,name=org.katacontainers.agent.0"],
      ...["-device", "pci-bridge,id=bridge0,chassis_nr=200,shpc=off"],
      ...["-object", "rng-random,id=entropy0,filename=/dev/urandom"],
      ...["-device", "virtio-rng-pci,rng=entropy0,bus=bridge0,addr=1"],
      ...["-device", "pcie-root-port,id=port0,chassis=1,slot=1"],
      ...["-kernel", "/k", "-initrd", "/i"],
    ]);
    expect(args.at(-1)).toMatch(/ console=ttyS0 quiet .* nr_cpus=2 .* agent\.log=info$/);
  });

  test("a machine that is saved has its memory in a file, and a clone boots nothing", () => {
    const template = qemuArguments(SPEC, { ...SERIAL, memory: 7 });
    const clone = qemuArguments(SPEC, { ...SERIAL, memory: 7, incoming: true });
    expect(valuesOf("-object", template)[0]).toBe(
      "memory-backend-file,id=memory0,size=512M,mem-path=/proc/self/fd/7,share=on",
    );
    const same = template.slice(0, template.indexOf("-kernel"));
    expect(clone).toEqual([...same, "-incoming", "defer"]);
  });

  test("gives the agent vsock where the host has it", () => {
    const args = qemuArguments(SPEC, {
      ...SERIAL,
      agent: undefined,
      vsock: { descriptor: 9, cid: 77 },
    });
    expect(valuesOf("-device", args)).toContain("vhost-vsock-pci,id=vsock0,guest-cid=77,vhostfd=9");
    expect(args.join(" ")).not.toContain("virtserialport");
  });

  test("starts the firmware that is wanted", () => {
    expect(valuesOf("-bios", qemuArguments({ ...SPEC, firmware: "/qboot.rom" }, SERIAL))).toEqual([
      "/qboot.rom",
    ]);
  });

  test("gives a mainframe devices on channels, and its own console", () => {
    const root = { kind: "image", path: "/i", filesystem: "ext4" } as const;
    const args = qemuArguments({ ...SPEC, root, machineType: "s390-ccw-virtio" }, SERIAL);
    expect(valuesOf("-device", args)).toEqual([
      "virtio-serial-ccw,id=serial0",
      "virtserialport,bus=serial0.0,chardev=agent,name=org.katacontainers.agent.0",
      "virtio-rng-ccw,rng=entropy0",
      "virtio-blk-ccw,id=image0,drive=image",
    ]);
    expect(args).not.toContain("-global");
    expect(valuesOf("-append", args)[0]).toContain(" console=ttysclp0 ");
    expect(valuesOf("-append", args)[0]).not.toContain("i8042");
  });

  test("gives a microvm no PCI device and no hot-plug port", () => {
    const args = qemuArguments({ ...SPEC, machineType: "microvm" }, SERIAL);
    expect(valuesOf("-machine", args)).toEqual([
      "microvm,accel=kvm,memory-backend=memory0,pit=off,pic=off,rtc=on,acpi=on",
    ]);
    expect(valuesOf("-device", args).filter((device) => /-pci|pcie/.test(device))).toEqual([]);
    expect(valuesOf("-global", args)).toEqual(["virtio-mmio.force-legacy=false"]);
    expect(qemuArguments(SPEC, SERIAL)).not.toContain("-global");
  });

  test("makes an Arm machine with the board's own interrupt controller, console and processor", () => {
    const args = qemuArguments({ ...SPEC, machineType: "virt", accelerator: "tcg" }, SERIAL);
    expect(valuesOf("-machine", args)).toEqual(["virt,accel=tcg,memory-backend=memory0,gic-version=max"]);
    expect(valuesOf("-cpu", args)).toEqual(["max,pauth=off,sve=off,sme=off"]);
    expect(valuesOf("-append", args)[0]).toContain(" console=ttyAMA0 ");
    expect(valuesOf("-device", args)).not.toContainEqual(expect.stringContaining("pci-bridge"));
    expect(valuesOf("-device", args)).toContain("pcie-root-port,id=port0,chassis=1,slot=1");
  });

  test("emulates the largest CPU without what is slow, and without options for a real one", () => {
    expect(valuesOf("-cpu", qemuArguments({ ...SPEC, accelerator: "tcg" }, SERIAL))).toEqual([
      "max,erms=off,fsrm=off,la57=off,smap=off,smep=off,umip=off,pku=off",
    ]);
  });

  test("makes every device that the guest starts with", () => {
    const args = qemuArguments(
      {
        ...SPEC,
        devices: [
          {
            kind: "shared-directory",
            id: "share0",
            tag: "kataShared",
            socket: { kind: "connected", descriptor: 50 },
            queueSize: 1024,
          },
          {
            kind: "network",
            id: "network0",
            macAddress: "02:00:00:00:00:01",
            backend: { kind: "tap", queues: [{ tap: 51, vhost: 52 }] },
          },
          { kind: "disk", id: "disk0", path: "/a,b", readOnly: true },
        ],
      },
      {
        ...SERIAL,
        devices: [{ primary: 6 }, { primary: -1, queues: [{ tap: 7, vhost: 8 }] }, { primary: -1 }],
      },
    );
    expect(valuesOf("-chardev", args)).toContain("socket,id=share0-socket,fd=6");
    expect(valuesOf("-netdev", args)).toEqual(["tap,id=network0-tap,fd=7,vhost=on,vhostfd=8"]);
    // A comma in a path is no separator.
    expect(valuesOf("-blockdev", args)).toEqual([
      "driver=file,node-name=disk0-file,filename=/a,,b,read-only=on",
      "driver=raw,node-name=disk0-node,file=disk0-file,read-only=on",
    ]);
    expect(valuesOf("-device", args)).toEqual(
      expect.arrayContaining([
        "vhost-user-fs-pci,id=share0,chardev=share0-socket,tag=kataShared,queue-size=1024,bus=pcie.0",
        "virtio-net-pci,id=network0,netdev=network0-tap,mac=02:00:00:00:00:01,bus=bridge0,addr=2,romfile=",
        "virtio-blk-pci,id=disk0,drive=disk0-node,bus=pcie.0",
      ]),
    );
  });

  test("opens the guest's own disk read-only (CVE-2020-2025)", () => {
    const args = qemuArguments(
      { ...SPEC, root: { kind: "image", path: "/image", filesystem: "ext4" } },
      SERIAL,
    );
    expect(valuesOf("-blockdev", args)).toEqual([
      "driver=file,node-name=image-file,filename=/image,read-only=on",
      "driver=raw,node-name=image,file=image-file,read-only=on",
    ]);
    expect(args.at(-1)).toContain("root=/dev/vda1 rootflags=ro ro rootfstype=ext4");
  });

  test("tells the kernel of a checked image's hashes, and boots what opens it", () => {
    const verity = { rootHash: "ab", salt: "", dataBlocks: 1, dataBlockSize: 4096, hashBlockSize: 4096 };
    const root = { kind: "image", path: "/image", filesystem: "erofs", verity } as const;
    const opened = qemuArguments({ ...SPEC, root: { ...root, initrd: "/opener" } }, SERIAL);
    expect(valuesOf("-initrd", opened)).toEqual(["/opener"]);
    expect(valuesOf("-append", opened)[0]).toContain(
      'dm-mod.create="dm-verity,,,ro,0 8 verity 1 /dev/vda1 /dev/vda2 4096 4096 1 0 sha256 ab -" root=/dev/dm-0',
    );
    expect(valuesOf("-initrd", qemuArguments({ ...SPEC, root }, SERIAL))).toEqual([]);
  });

  test("leaves room for modules that come later, and tells the guest to use them at once", () => {
    const args = qemuArguments(
      { ...SPEC, maxVcpus: 8, memoryGrowth: { kind: "modules", slots: 10, maxMemoryMib: 16_384 } },
      SERIAL,
    );
    expect(valuesOf("-smp", args)).toEqual(["2,maxcpus=8"]);
    expect(valuesOf("-m", args)).toEqual(["512M,slots=10,maxmem=16384M"]);
    expect(args.at(-1)).toMatch(/ memhp_default_state=online .* swiotlb=noforce .* nr_cpus=8 /);
  });

  test("gives virtio-mem all that may come, and nothing yet", () => {
    const args = qemuArguments(
      {
        ...SPEC,
        hugePages: true,
        preallocateMemory: true,
        memoryGrowth: { kind: "virtio-mem", maxMemoryMib: 1536 },
      },
      SERIAL,
    );
    expect(valuesOf("-m", args)).toEqual(["512M,slots=1,maxmem=1536M"]);
    expect(valuesOf("-object", args)).toContain(
      "memory-backend-memfd,id=memory1,size=1024M,share=on,reserve=off,hugetlb=on",
    );
    expect(valuesOf("-device", args)).toContain(
      "virtio-mem-pci,id=virtiomem0,memdev=memory1,requested-size=0,prealloc=on,bus=pcie.0",
    );
  });

  test("binds each node's memory to the host's nodes", () => {
    const args = qemuArguments(
      {
        ...SPEC,
        numaNodes: [
          { hostNodes: [0, 1], firstVcpu: 0, lastVcpu: 0, memoryMib: 256 },
          { hostNodes: [2], firstVcpu: 1, lastVcpu: 1, memoryMib: 256 },
        ],
      },
      SERIAL,
    );
    expect(valuesOf("-machine", args)).toEqual(["q35,accel=kvm"]);
    expect(valuesOf("-object", args).slice(0, 2)).toEqual([
      "memory-backend-memfd,id=numa0-memory,size=256M,share=on,host-nodes=0,host-nodes=1,policy=bind",
      "memory-backend-memfd,id=numa1-memory,size=256M,share=on,host-nodes=2,policy=bind",
    ]);
    expect(valuesOf("-numa", args)).toEqual([
      "node,nodeid=0,cpus=0-0,memdev=numa0-memory",
      "node,nodeid=1,cpus=1-1,memdev=numa1-memory",
    ]);
  });

  test("reserves huge pages at once, and gives freed memory back if it is told to", () => {
    const args = qemuArguments({ ...SPEC, hugePages: true, reclaimMemory: true }, SERIAL);
    expect(valuesOf("-object", args)[0]).toBe(
      "memory-backend-memfd,id=memory0,size=512M,share=on,hugetlb=on,prealloc=on",
    );
    expect(valuesOf("-device", args)).toContain(
      "virtio-balloon-pci,id=balloon0,deflate-on-oom=on,free-page-reporting=on",
    );
  });
});
