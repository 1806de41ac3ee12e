/** A request that Firecracker refuses; the sentence is its `fault_message`. */
export class Refused extends Error {}
