/**
 * The order of a listing, wrong way round included: addresses and marks are compared as the signed 32-bit difference
 * of unsigned numbers, so 192.168.1.1 stands before 10.0.0.1. That relation is not transitive; what comes out depends
 * on the algorithm too, which is the merge sort of glibc's qsort.
 */
import type { DestinationStatus } from '../model/destination.ts';
import { familyOfService, isMarkKey, type ServiceStatus } from '../model/service.ts';
import { addressWords } from './addresses.ts';

const PROTOCOL_NUMBERS = { tcp: 6, udp: 17, sctp: 132 };

/** Mark (services by address have mark 0), family, protocol, address, port. */
export function sortServices(services: readonly ServiceStatus[]): ServiceStatus[] {
  const keyed = services.map((service) => {
    const { key } = service.spec;
    const family = familyOfService(key) === 'ipv6' ? 1 : 0;
    // The kernel stores marks as TCP 0.0.0.0:0.
    const numbers = isMarkKey(key)
      ? [key.mark, family, PROTOCOL_NUMBERS.tcp, 0, 0, 0, 0, 0]
      : [0, family, PROTOCOL_NUMBERS[key.protocol], ...addressWords(key.address), key.port];
    return { service, numbers };
  });
  return mergeSort(keyed, (a, b) => compareNumbers(a.numbers, b.numbers)).map((entry) => entry.service);
}

/** Address and port; the family does not count: an IPv4 address is compared as the first word of an IPv6 one. */
export function sortDestinations(destinations: readonly DestinationStatus[]): DestinationStatus[] {
  const keyed = destinations.map((destination) => {
    const { address, port } = destination.spec;
    return { destination, numbers: [...addressWords(address), port] };
  });
  return mergeSort(keyed, (a, b) => compareNumbers(a.numbers, b.numbers)).map((entry) => entry.destination);
}

/** The first difference, cut to a signed 32-bit number. */
function compareNumbers(a: readonly number[], b: readonly number[]): number {
  for (let at = 0; at < a.length; at++) {
    const difference = (a[at]! - b[at]!) | 0;
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Halves floor(n/2) and the rest, each sorted, then merged; the left one goes first while it is not greater. */
export function mergeSort<T>(items: readonly T[], compare: (a: T, b: T) => number): T[] {
  if (items.length < 2) return [...items];
  const middle = Math.floor(items.length / 2);
  const left = mergeSort(items.slice(0, middle), compare);
  const right = mergeSort(items.slice(middle), compare);
  const merged: T[] = [];
  let leftAt = 0;
  let rightAt = 0;
  while (leftAt < left.length && rightAt < right.length) {
    const takeLeft = compare(left[leftAt]!, right[rightAt]!) <= 0;
    merged.push(takeLeft ? left[leftAt++]! : right[rightAt++]!);
  }
  return [...merged, ...left.slice(leftAt), ...right.slice(rightAt)];
}
