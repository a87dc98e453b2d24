/**
 * SCTP states as IPVS follows them, as data: next state by direction, event and state. Rows are events, columns the
 * states in the order of their numbers. Directions are those of the TCP tables: INPUT, OUTPUT, INPUT_ONLY.
 */
export const SCTP_NONE = 0;
export const SCTP_ESTABLISHED = 8;
export const SCTP_SHUTDOWN_SENT = 9;
export const SCTP_SHUTDOWN_RECEIVED = 10;
export const SCTP_SHUTDOWN_ACK_SENT = 11;
export const SCTP_CLOSED = 13;

/** As listings show them. */
export const SCTP_STATE_NAMES = [
  'NONE',
  'INIT1',
  'INIT',
  'C-SENT',
  'C-REPLIED',
  'C-WAIT',
  'COOKIE',
  'C-ECHOED',
  'ESTABLISHED',
  'S-SENT',
  'S-RECEIVED',
  'S-ACK-SENT',
  'REJECTED',
  'CLOSED',
] as const;

const STATES = SCTP_STATE_NAMES.length;

/** Seconds an association may stay silent in each state. */
export const SCTP_TIMEOUT_SECONDS: readonly number[] = [2, 4, 61, 61, 61, 61, 61, 61, 900, 61, 61, 61, 4, 61];

/** Events by number: rows of the tables. */
export const SCTP_EVENT_NAMES = [
  'DATA',
  'INIT',
  'INIT_ACK',
  'COOKIE_ECHO',
  'COOKIE_ACK',
  'SHUTDOWN',
  'SHUTDOWN_ACK',
  'SHUTDOWN_COMPLETE',
  'ERROR',
  'ABORT',
] as const;
const EVENTS = SCTP_EVENT_NAMES.length;

export const SCTP_EVENT_DATA = 0;
export const SCTP_EVENT_ABORT = 9;

/** Event by chunk type 0..14 (RFC 9260, 3.2); what carries no change of state counts as data, as do all others. */
export const SCTP_EVENT_OF_CHUNK: readonly number[] = [0, 1, 2, 0, 0, 0, 9, 5, 6, 8, 3, 4, 0, 0, 7];

const COLUMNS = ['NO', 'I1', 'IN', 'CS', 'CR', 'CW', 'CO', 'CE', 'ES', 'SS', 'SR', 'SA', 'RJ', 'CL'];

const TABLE = readTable(`
  ES I1 IN CS CR CW CO CE ES SS SR SA RJ CL
  I1 IN IN CS CR CW CO CE ES SS SR SA IN IN
  CW CW CW CS CR CO CO CE ES SS SR SA RJ CL
  CR IN IN CR CR CW CO CE ES SS SR SA RJ CL
  ES I1 IN CS CR CW CO ES ES SS SR SA RJ CL
  SR I1 IN CS CR CW CO CE SR SS SR SA RJ CL
  CL IN IN CS CR CW CO CE ES CL SR CL RJ CL
  CL CL CL CS CR CW CO CE ES SS SR CL RJ CL
  CL I1 IN CS CR CW CO CL ES SS SR SA RJ CL
  CL CL CL CL CL RJ CL CL CL CL CL CL CL CL

  ES I1 IN CS CR CW CO CE ES SS SR SA RJ CL
  CW CW CW CW CW CW CW CW ES CW CW CW CW CW
  CS CS CS CS CR CW CO CE ES SS SR SA RJ CL
  CE CE CE CE CE CE CE CE ES SS SR SA RJ CL
  ES ES ES ES ES ES ES ES ES SS SR SA RJ CL
  SS SS SS SS SS SS SS SS SS SS SR SA RJ CL
  SA SA SA SA SA CW CO CE ES SA SA SA RJ CL
  CL I1 IN CS CR CW CO CE ES SS SR SA RJ CL
  CL CL CL CL CL CW CO CE ES SS SR SA RJ CL
  CL RJ CL CL CL CL CL CL CL CL CL CL CL CL

  ES I1 IN CS CR ES CO CE ES SS SR SA RJ CL
  I1 IN IN IN IN IN CO CE ES SS SR SA IN IN
  CE CE CE CE CE CE CO CE ES SS SR SA RJ CL
  ES ES ES ES ES ES CO CE ES SS SR SA RJ CL
  ES I1 IN ES ES CW ES ES ES SS SR SA RJ CL
  SR I1 IN CS CR CW CO CE SR SS SR SA RJ CL
  CL IN IN CS CR CW CO CE CL CL SR CL RJ CL
  CL CL CL CL CL CW CO CE ES SS CL CL RJ CL
  CL I1 IN CS CR CW CO CE ES SS SR SA RJ CL
  CL CL CL CL CL RJ CL CL CL CL CL CL CL CL`);

function readTable(text: string): Uint8Array {
  return Uint8Array.from(text.trim().split(/\s+/), (word) => COLUMNS.indexOf(word));
}

export function nextSctpState(direction: number, event: number, state: number): number {
  return TABLE[(direction * EVENTS + event) * STATES + state] as number;
}

/** States that count as active for the schedulers. */
export function isActiveSctpState(state: number): boolean {
  return state === SCTP_ESTABLISHED;
}
