/**
 * `real=` and `real6=`: HOST[->HOST2][:PORT] METHOD [WEIGHT] ["REQUEST","RECEIVE"] [l:LOWER] [u:UPPER].
 * The parts after the method are searched for, not expected in place; what is skipped that way gets a warning.
 */
import type { AddressFamily } from '../../model/service.ts';
import { ConfigurationError, nearestWord } from './problem.ts';
import { FORWARD_WORDS, type ForwardWord, type RealServer } from './types.ts';
import { placeOfWord, resolvePort, type Written, withoutBrackets } from './values.ts';

const HOST = String.raw`[A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\]`;
const REAL = new RegExp(`(${HOST})(?:->(${HOST}))?(?::([A-Za-z0-9_-]+))?\\s+(.*)`, 's');
/** Servers one range may declare. */
const RANGE_MAX = 65_536;

/** One line gives one server, or one for every address of its range. */
export async function parseReal(written: Written, family: AddressFamily): Promise<RealServer[]> {
  const { place, environment } = written;
  const parts = REAL.exec(written.value);
  if (parts === null) {
    throw new ConfigurationError(place, 'invalid address for real server (wrong format)', {
      expected: 'HOST[:PORT] METHOD [WEIGHT], METHOD being gate, masq or ipip',
    });
  }
  const [, host, endHost, portText = '0', rest] = parts;
  const address = await environment.resolveHost(withoutBrackets(host), family);
  if (address === null) {
    throw new ConfigurationError(
      placeOfWord(written, host),
      `invalid address (${host}) for real server (could not resolve host)`,
    );
  }
  const port = resolvePort(portText, null, environment);
  if (port === null) {
    throw new ConfigurationError(
      placeOfWord(written, `:${portText}`),
      `invalid port (${portText}) for real server (could not resolve port)`,
      { expected: 'a number up to 65535 or a service name' },
    );
  }
  const addresses = endHost === undefined ? [address] : await addressRange(written, family, address, endHost);
  const options = parseOptions(written, rest);
  return addresses.map((each) => ({ line: place.line, address: each, port, ...options }));
}

async function addressRange(
  written: Written,
  family: AddressFamily,
  first: string,
  endHost: string,
): Promise<string[]> {
  const { place, environment } = written;
  const last = await environment.resolveHost(withoutBrackets(endHost), family);
  if (last === null) {
    throw new ConfigurationError(
      placeOfWord(written, endHost),
      `invalid address (${endHost}) for real server (could not resolve end host)`,
    );
  }
  if (family === 'ipv6') throw new ConfigurationError(place, 'Address range for IPv6 is not supported yet');
  const from = ipv4ToNumber(first);
  const to = ipv4ToNumber(last);
  if (from > to) {
    const text = `Invalid Range: ${first}-${last}: First value must be greater than or equal to the second value`;
    throw new ConfigurationError(place, text, { expected: 'the lower address first' });
  }
  if (to - from >= RANGE_MAX) {
    throw new ConfigurationError(place, `Invalid Range: ${first}-${last}: more than ${RANGE_MAX} servers`);
  }
  return Array.from({ length: to - from + 1 }, (_, index) => numberToIpv4(from + index));
}

type RealOptions = Omit<RealServer, 'line' | 'address' | 'port'>;

function parseOptions(written: Written, text: string): RealOptions {
  const method = /(\w+)(.*)/s.exec(text);
  const forward = method?.[1] ?? '';
  if (method === null || !(FORWARD_WORDS as readonly string[]).includes(forward)) {
    throw new ConfigurationError(placeOfWord(written, forward), 'forward method must be gate, masq or ipip', {
      expected: 'gate, masq or ipip',
      nearest: nearestWord(forward, FORWARD_WORDS),
    });
  }
  let rest = method[2];
  /** Finds `pattern` in the rest; what stood before it is lost, what stands after it is the new rest. */
  const take = (pattern: RegExp): RegExpExecArray | null => {
    const found = pattern.exec(rest);
    if (found === null) return null;
    const skipped = rest.slice(0, found.index).trim();
    if (skipped !== '') written.warn(`real server: "${skipped}" has no effect here`);
    rest = rest.slice(found.index + found[0].length);
    return found;
  };

  const weight = take(/\s+(\d+)/);
  const pair = take(/\s+"(.*)"[, ]\s*"(.*)"/s);
  let request: string | null = null;
  let receive: string | null = null;
  if (pair?.[1].startsWith('/')) {
    request = pair[1];
    rest = '';
    written.warn(
      `real server: because the request "${request}" begins with a slash, it, its receive string and what follows ` +
        'have no effect; write it without the slash',
    );
  } else if (pair !== null) {
    request = `/${pair[1]}`;
    receive = pair[2];
  }
  const lower = take(/\s+l:(\d+)/);
  const upper = take(/\s+u:(\d+)/);
  if (/\S/.test(rest)) {
    throw new ConfigurationError(placeOfWord(written, rest.trim()), `Invalid real server line, around "${rest}"`, {
      expected: 'METHOD [WEIGHT] ["REQUEST","RECEIVE"] [l:LOWER] [u:UPPER]',
    });
  }
  return {
    forward: forward as ForwardWord,
    weight: weight === null ? 1 : Number(weight[1]),
    request,
    receive,
    lowerThreshold: lower === null ? 0 : Number(lower[1]),
    upperThreshold: upper === null ? 0 : Number(upper[1]),
  };
}

function ipv4ToNumber(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}

function numberToIpv4(number: number): string {
  return [24, 16, 8, 0].map((shift) => (number >>> shift) & 255).join('.');
}
