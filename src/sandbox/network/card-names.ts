/** Names of a pod's cards and of what is made for them on the host, by their numbers. */

export function cardId(number: number): string {
  return `network${number}`;
}

export function tapName(number: number): string {
  return `tap${number}_kata`;
}

export function macvtapName(number: number): string {
  return `macvtap${number}_kata`;
}

/** Of the intermediate functional block that limits a rate. */
export function blockName(number: number): string {
  return `ifb${number}_kata`;
}

/** Whether a link is one of these. */
export function isOwnLink(name: string): boolean {
  return /^(tap|macvtap|ifb)\d{1,2}_kata$/.test(name);
}
