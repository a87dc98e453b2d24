/** The checkers of a real_server in keepalived.conf, one row for each: what it is in a blueprint. */
import { suggestion } from '../../control/nearest.ts';
import { type CheckWish, NO_CHECK } from '../../model/blueprint.ts';
import type { Place } from '../../model/file-problem.ts';
import type { Statement, Word } from './statements.ts';

export interface CheckerTimes {
  readonly timeoutSeconds?: number;
  readonly retry?: number;
  readonly delayBeforeRetrySeconds?: number;
}

/** Where problems go; the reader of the whole file. */
interface Told {
  refuse(place: Place, text: string): void;
  lose(place: Place, text: string): void;
  number(word: Word | undefined, place: Place, name: string, min: number, max: number): number | null;
  seconds(word: Word | undefined, place: Place, name: string): number | null;
}

type Change = Partial<CheckWish>;
type ReadWord = (statement: Statement, told: Told) => Change;

interface CheckerRow {
  readonly start: Change;
  readonly words: Readonly<Record<string, ReadWord>>;
  /** Told once, because it cannot be the same. */
  readonly lost?: string;
}

/** Any answer: keepalived wants none in particular. */
export const ANY_ANSWER = '.';

const LOST = (
  'connect_ip bindto bind_if bind_port fwmark warmup alpha log_all_failures helo_name user ' +
  'misc_dynamic digest http_protocol enable_sni tls_compliant fast_recovery nb_get_retry status_code regex_no_match ' +
  'regex_options regex_stack regex_min_offset regex_max_offset type payload payload_file require_reply min_reply_length ' +
  'max_reply_length icmp_check host log_level track_file vrrp_track_process ssl'
).split(' ');

const path: ReadWord = ({ words, place }, told) => {
  if (words[0] === undefined) told.refuse(place, 'path needs a value');
  return { request: words[0] === undefined || words[0].text === '/' ? null : words[0].text };
};
const regex: ReadWord = ({ words, place }, told) => {
  if (words[0] === undefined) told.refuse(place, 'regex needs a value');
  return { receive: words[0]?.text ?? null };
};
const host: ReadWord = ({ words }) => ({ virtualHost: words[0]?.text ?? null });

const web = (application: 'http' | 'https'): CheckerRow => ({
  start: { kind: 'negotiate', application },
  words: {
    virtualhost: host,
    url: ({ block, place }, told) => {
      if (block === null) told.refuse(place, 'url needs a block in braces');
      return readBlock(block ?? [], { path, regex, virtualhost: host }, 'url', told);
    },
  },
});

const CHECKERS: Readonly<Record<string, CheckerRow>> = {
  TCP_CHECK: { start: { kind: 'connect' }, words: {} },
  HTTP_GET: web('http'),
  SSL_GET: web('https'),
  SMTP_CHECK: { start: { kind: 'negotiate', application: 'smtp' }, words: {} },
  DNS_CHECK: {
    start: { kind: 'negotiate', application: 'dns', receive: ANY_ANSWER },
    words: {
      name: ({ words }) => ({ request: words[0]?.text ?? null }),
      type: ({ words, place }, told) => {
        if (words[0]?.text !== 'A') told.lose(place, `DNS_CHECK: type ${words[0]?.text ?? ''} becomes A`);
        return {};
      },
    },
  },
  PING_CHECK: { start: { kind: 'ping' }, words: {} },
  UDP_CHECK: { start: { kind: 'ping' }, words: {}, lost: 'UDP_CHECK becomes a ping' },
  MISC_CHECK: {
    start: { kind: 'external' },
    words: {
      misc_path: ({ words, place }, told) => {
        const [command, ...rest] = (words[0]?.text ?? '').split(/\s+/);
        if (!command) told.refuse(place, 'misc_path needs a path');
        if (rest.length > 0 || words.length > 1) {
          told.lose(
            place,
            'misc_path: the arguments are left out; the program gets service and server as its arguments',
          );
        }
        return { command: command || null };
      },
    },
  },
  FILE_CHECK: { start: {}, words: {}, lost: 'FILE_CHECK is left out: the server counts as up' },
  BFD_CHECK: { start: {}, words: {}, lost: 'BFD_CHECK is left out: the server counts as up' },
};

export const CHECKER_NAMES = Object.keys(CHECKERS);

export function readChecker(statement: Statement, told: Told): { check: CheckWish; times: CheckerTimes } {
  const { keyword, place, block } = statement;
  const row = CHECKERS[keyword] as CheckerRow;
  if (row.lost !== undefined) told.lose(place, row.lost);
  if (block === null && keyword !== 'PING_CHECK' && keyword !== 'TCP_CHECK') {
    told.refuse(place, `${keyword} needs a block in braces`);
  }
  let times: CheckerTimes = {};
  const time =
    (name: string, field: 'timeoutSeconds' | 'delayBeforeRetrySeconds'): ReadWord =>
    ({ words, place: at }) => {
      const value = told.seconds(words[0], at, name);
      if (value !== null) times = { ...times, [field]: value };
      return {};
    };
  const common: Readonly<Record<string, ReadWord>> = {
    connect_port: ({ words, place: at }) => {
      const port = told.number(words[0], at, 'connect_port', 1, 65_535);
      return port === null ? {} : { port };
    },
    connect_timeout: time('connect_timeout', 'timeoutSeconds'),
    misc_timeout: time('misc_timeout', 'timeoutSeconds'),
    delay_before_retry: time('delay_before_retry', 'delayBeforeRetrySeconds'),
    retry: ({ words, place: at }) => {
      const retry = told.number(words[0], at, 'retry', 0, 999_999);
      if (retry !== null) times = { ...times, retry };
      return {};
    },
  };
  const urls = (block ?? []).filter((each) => each.keyword === 'url');
  for (const more of urls.slice(1)) told.lose(more.place, `${keyword}: one url is asked here; the first one is used`);
  const read = (block ?? []).filter((each) => each.keyword !== 'url' || each === urls[0]);
  const change = readBlock(read, { ...common, ...row.words }, keyword, told);
  return { check: { ...NO_CHECK, ...row.start, ...change }, times };
}

function readBlock(
  block: readonly Statement[],
  words: Readonly<Record<string, ReadWord>>,
  where: string,
  told: Told,
): Change {
  let change: Change = {};
  for (const statement of block) {
    const { keyword, place } = statement;
    const read = Object.hasOwn(words, keyword) ? words[keyword] : undefined;
    if (read !== undefined) change = { ...change, ...read(statement, told) };
    else if (keyword === 'status_code' && statement.words[0]?.text === '200') continue;
    else if (LOST.includes(keyword)) told.lose(place, `${where}: ${keyword} is left out`);
    else
      told.refuse(place, `${where} has no keyword ${keyword}${suggestion(keyword, [...Object.keys(words), ...LOST])}`);
  }
  return change;
}
