/** What sysfs says about a link of this network namespace. Source: Documentation/ABI/testing/sysfs-class-net. */
import { readFileSync } from 'node:fs';

const IFF_UP = 1;

/**
 * A word that changes whenever the link has been down in between, or `null` while it is down or away. Two equal
 * words: nothing happened.
 */
export function linkEpoch(name: string): string | null {
  try {
    if (linkIsDown(name)) return null;
    return `${read(name, 'ifindex')}:${read(name, 'carrier_changes')}`;
  } catch {
    return null;
  }
}

/** Whether the link exists and has been set down. */
export function linkIsDown(name: string): boolean {
  try {
    return (Number(read(name, 'flags')) & IFF_UP) === 0;
  } catch {
    return false;
  }
}

function read(name: string, file: string): string {
  return readFileSync(`/sys/class/net/${name}/${file}`, 'latin1').trim();
}
