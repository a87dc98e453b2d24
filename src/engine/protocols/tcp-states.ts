/**
 * TCP states as IPVS follows them, as data: next state by direction, event and state.
 * Rows are events (SYN, FIN, ACK, RST), columns the states in the order of their numbers.
 */
export const TCP_NONE = 0;
export const TCP_ESTABLISHED = 1;
export const TCP_SYN_SENT = 2;
export const TCP_SYN_RECV = 3;
export const TCP_FIN_WAIT = 4;
export const TCP_TIME_WAIT = 5;
export const TCP_CLOSE = 6;
export const TCP_CLOSE_WAIT = 7;
export const TCP_LAST_ACK = 8;
export const TCP_LISTEN = 9;
export const TCP_SYNACK = 10;
const STATES = 11;

export const TCP_STATE_NAMES = [
  'NONE',
  'ESTABLISHED',
  'SYN_SENT',
  'SYN_RECV',
  'FIN_WAIT',
  'TIME_WAIT',
  'CLOSE',
  'CLOSE_WAIT',
  'LAST_ACK',
  'LISTEN',
  'SYNACK',
] as const;

/** Seconds a connection may stay silent in each state. */
export const TCP_TIMEOUT_SECONDS: readonly number[] = [2, 900, 120, 60, 120, 120, 10, 60, 30, 120, 120];

export const EVENT_SYN = 0;
export const EVENT_FIN = 1;
export const EVENT_ACK = 2;
export const EVENT_RST = 3;

/** Directions: from the client, from the server, from the client while no reply was ever seen. */
export const INPUT = 0;
export const OUTPUT = 1;
export const INPUT_ONLY = 2;

const COLUMNS = ['NO', 'ES', 'SS', 'SR', 'FW', 'TW', 'CL', 'CW', 'LA', 'LI', 'SA'];

const NORMAL = `
  SR ES ES SR SR SR SR SR SR SR SR
  CL CW SS TW TW TW CL CW LA LI TW
  ES ES SS ES FW TW CL CW CL LI ES
  CL CL CL SR CL CL CL CL LA LI SR

  SS ES SS SR SS SS SS SS SS LI SR
  TW FW SS TW FW TW CL TW LA LI TW
  ES ES SS ES FW TW CL CW LA ES ES
  CL CL SS CL CL TW CL CL CL CL CL

  SR ES ES SR SR SR SR SR SR SR SR
  CL FW SS TW FW TW CL CW LA LI TW
  ES ES SS ES FW TW CL CW CL LI ES
  CL CL CL SR CL CL CL CL LA LI CL`;

/** While the secure_tcp defence is on. */
const SECURE = `
  SR ES ES SR SR SR SR SR SR SR SA
  CL CW SS TW TW TW CL CW LA LI SA
  ES ES SS SR FW TW CL CW CL LI SA
  CL CL CL SR CL CL CL CL LA LI CL

  SS ES SS SA SS SS SS SS SS LI SA
  TW FW SS TW FW TW CL TW LA LI TW
  ES ES SS ES FW TW CL CW LA ES ES
  CL CL SS CL CL TW CL CL CL CL CL

  SA ES ES SR SA SA SA SA SA SA SA
  CL FW SS TW FW TW CL CW LA LI TW
  ES ES SS ES FW TW CL CW CL LI ES
  CL CL CL SR CL CL CL CL LA LI CL`;

function readTable(text: string): Uint8Array {
  return Uint8Array.from(text.trim().split(/\s+/), (word) => COLUMNS.indexOf(word));
}

export const TCP_NORMAL_TABLE: Uint8Array = readTable(NORMAL);
export const TCP_SECURE_TABLE: Uint8Array = readTable(SECURE);

export function nextTcpState(table: Uint8Array, direction: number, event: number, state: number): number {
  return table[(direction * 4 + event) * STATES + state] as number;
}

/** States that count as active for the schedulers. */
export function isActiveTcpState(state: number): boolean {
  return state === TCP_ESTABLISHED || state === TCP_SYN_SENT || state === TCP_SYN_RECV || state === TCP_SYNACK;
}
