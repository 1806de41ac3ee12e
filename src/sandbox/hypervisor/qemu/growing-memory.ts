/** Memory of a running QEMU that can change: in modules, or by virtio-mem. */
export interface GrowingMemory {
  /** What the guest may use now, MiB. */
  readonly sizeMib: number;
  /**
   * @param blockMib piece in which the guest takes memory.
   * @throws KataError `resource-exhausted` beyond what the machine was started for, `hypervisor-error` or `deadline-exceeded` if
   * the guest does not take it; what came for this call is taken back then, as far as the guest lets go of it.
   */
  growTo(targetMib: number, blockMib: number): Promise<void>;
  /** Takes back what the guest lets go of. */
  shrinkTo(targetMib: number): Promise<void>;
}

/** Memory that stays as it is. */
export class FixedMemory implements GrowingMemory {
  readonly sizeMib: number;

  constructor(sizeMib: number) {
    this.sizeMib = sizeMib;
  }

  growTo(): Promise<void> {
    return Promise.resolve();
  }

  shrinkTo(): Promise<void> {
    return Promise.resolve();
  }
}
