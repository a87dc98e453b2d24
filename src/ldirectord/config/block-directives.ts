/** The directives of a `virtual=` block, `real=` apart: one table, read by `virtual-block.ts`. */
import { CHECKCOUNT_WARNING, connectTimeoutError, leadingNumber } from './global-directives.ts';
import { ConfigurationError } from './problem.ts';
import { type CheckType, SERVICE_PORTS, type ServiceType, type VirtualOverrides, type VirtualServer } from './types.ts';
import {
  emailAddresses,
  emailStates,
  firstNumber,
  notEmpty,
  oneOf,
  parseFallback,
  smtpServer,
  type Written,
  type WrittenFallback,
  yesNo,
} from './values.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** A block while it is read: names are resolved, and the settings made effective, when it ends. */
export type VirtualDraft = Mutable<
  Omit<
    VirtualServer,
    'key' | 'service' | 'effective' | 'fallback' | 'fallbackUnusable' | 'own' | 'real' | 'directiveLines'
  >
> & {
  /** `null`: by port. */
  service: ServiceType | null;
  fallback: WrittenFallback | null;
  own: VirtualOverrides;
};

export interface BlockDirective {
  readonly form: 'plain' | 'quoted' | 'maybe quoted';
  apply(draft: VirtualDraft, written: Written): void;
}

const CHECK_TYPES: readonly CheckType[] = ['connect', 'negotiate', 'ping', 'off', 'on', 'external', 'external-perl'];
const CHECK_TYPE_TEXT =
  'checktype must be "connect", "negotiate", "on", "off", "ping", "external", "external-perl" or a positive number';
const SERVICE_TEXT =
  'service must be dns, ftp, http, https, http_proxy, imap, imaps, ldap, ldaps, mysql, nntp, none, oracle, pop, ' +
  'pops, radius, pgsql, simpletcp, sip, smtp or submission';
const SERVICES = Object.keys(SERVICE_PORTS) as ServiceType[];

export const BLOCK_DIRECTIVES: Readonly<Record<string, BlockDirective>> = {
  checktype: plain((draft, written) => {
    const number = /\d+/.exec(written.value);
    if (number !== null) {
      draft.checkType = 'combined';
      draft.connectsBetweenNegotiates = Number(number[0]);
    } else {
      draft.checkType = oneOf(written, /[\w-]+/, CHECK_TYPES, CHECK_TYPE_TEXT);
    }
  }),
  service: plain((draft, written) => {
    draft.service = oneOf(written, /\w+/, SERVICES, SERVICE_TEXT);
    const own = `ldirectord@${written.environment.hostName()}`;
    if (draft.service === 'ftp') {
      draft.login ||= 'anonymous';
      draft.password ||= own;
    } else if (draft.service === 'sip') {
      draft.login ||= own;
    }
  }),
  checkcommand: maybeQuoted((draft, written) => {
    draft.checkCommand = notEmpty(written, 'invalid check command');
  }),
  checkport: plain((draft, written) => {
    const port = firstNumber(written, 0, 'invalid port');
    if (port < 1 || port > 65_535) {
      throw new ConfigurationError(written.place, 'checkport must be in range 1..65536', { expected: '1 to 65535' });
    }
    draft.checkPort = port;
  }),
  request: quoted((draft, written) => {
    const request = notEmpty(written, 'no request string specified');
    draft.request = request.startsWith('/') ? request : `/${request}`;
  }),
  receive: quoted((draft, written) => {
    draft.receive = notEmpty(written, 'invalid receive string');
  }),
  httpmethod: plain((draft, written) => {
    const upper = { ...written, value: written.value.toUpperCase() };
    draft.httpMethod = oneOf(upper, /\w+/, ['GET', 'HEAD'] as const, 'httpmethod must be GET or HEAD');
  }),
  virtualhost: plain((draft, written) => {
    draft.virtualHost = /"?([^"]*)"?/.exec(written.value)![1];
  }),
  login: quoted((draft, written) => {
    draft.login = notEmpty(written, 'invalid login string');
  }),
  passwd: quoted((draft, written) => {
    draft.password = notEmpty(written, 'invalid password');
  }),
  database: quoted((draft, written) => {
    draft.database = notEmpty(written, 'invalid database');
  }),
  secret: quoted((draft, written) => {
    draft.secret = notEmpty(written, 'invalid secret');
  }),
  load: quoted((_, written) => {
    if (/\w/.test(written.value)) return;
    throw new ConfigurationError(written.place, 'invalid string for load testing');
  }),
  scheduler: plain((draft, written) => {
    const name = /[a-z]+/.exec(written.value);
    if (name === null) {
      const text = 'invalid scheduler, should be only lowercase letters (a-z)';
      throw new ConfigurationError(written.place, text, {
        expected: 'the name of a scheduler, such as rr or wlc',
        nearest: /^[A-Za-z]+$/.test(written.value.trim()) ? written.value.trim().toLowerCase() : null,
      });
    }
    draft.scheduler = name[0];
  }),
  schedflags: plain((draft, written) => {
    const flags = /\S+/.exec(written.value);
    if (flags === null) throw new ConfigurationError(written.place, 'invalid sched-flags');
    draft.schedulerFlags = flags[0];
  }),
  persistent: plain((draft, written) => {
    draft.persistentSeconds = firstNumber(written, 0, 'invalid persistent timeout');
  }),
  netmask: plain((draft, written) => {
    if (draft.family === 'ipv6') {
      const bits = /^\d+$/.test(written.value) ? Number(written.value) : 0;
      if (bits < 1 || bits > 128) {
        const text = 'invalid netmask: a prefix length between 1 and 128 is required';
        throw new ConfigurationError(written.place, text);
      }
    } else if (!/^\d+\.\d+\.\d+\.\d+$/.test(written.value)) {
      throw new ConfigurationError(written.place, 'invalid netmask: dotted quad notation is required', {
        expected: 'four numbers such as 255.255.255.0, with nothing after them',
      });
    }
    draft.netmask = written.value;
  }),
  protocol: plain((draft, written) => {
    if (!/\w/.test(written.value)) throw new ConfigurationError(written.place, 'invalid protocol');
    if (draft.protocol === 'fwm') {
      const text = 'protocol must be fwm if the virtual service is a fwmark (a number)';
      draft.protocol = oneOf(written, /\w+/, ['fwm'] as const, text);
    } else {
      const text = 'protocol must be tcp or udp if the virtual service is an address and port';
      draft.protocol = oneOf(written, /\w+/, ['tcp', 'udp'] as const, text);
    }
  }),
  ops: plain((draft, written) => {
    draft.ops = yesNo(written, 'ops');
  }),
  monitorfile: maybeQuoted((draft, written) => {
    const reason = written.environment.refusesAppend(written.value);
    if (reason !== null) {
      throw new ConfigurationError(written.place, `unable to open monitorfile ${written.value}: ${reason}`);
    }
    draft.monitorFile = written.value;
  }),
  servicename: plain((draft, written) => {
    draft.serviceName = written.value;
  }),
  comment: plain((draft, written) => {
    draft.comment = written.value;
  }),
  checktimeout: plain((draft, written) => {
    draft.own.checkTimeoutSeconds = firstNumber(written, 1, 'invalid check timeout');
  }),
  negotiatetimeout: plain((draft, written) => {
    draft.own.negotiateTimeoutSeconds = firstNumber(written, 1, 'invalid negotiate timeout');
  }),
  checkinterval: plain((draft, written) => {
    draft.own.checkIntervalSeconds = firstNumber(written, 1, 'invalid checkinterval');
  }),
  checkcount: plain((draft, written) => {
    draft.own.checkCount = firstNumber(written, 1, 'invalid check count');
    written.warn(CHECKCOUNT_WARNING, 'ldirectord');
  }),
  failurecount: plain((draft, written) => {
    draft.own.failureCount = firstNumber(written, 1, 'invalid failure count');
  }),
  connecttimeout: plain((_, written) => {
    throw connectTimeoutError(written);
  }),
  fallback: plain((draft, written) => setFallback(draft, written, 'ipv4')),
  fallback6: plain((draft, written) => setFallback(draft, written, 'ipv6')),
  fallbackcommand: maybeQuoted((draft, written) => {
    draft.own.fallbackCommand = notEmpty(written, 'invalid fallback command');
  }),
  quiescent: plain((draft, written) => {
    draft.own.quiescent = yesNo(written, 'quiescent');
  }),
  cleanstop: plain((draft, written) => {
    draft.own.cleanStop = yesNo(written, 'cleanstop');
  }),
  emailalert: plain((draft, written) => {
    draft.own.emailAlert = emailAddresses(written);
  }),
  emailalertfreq: plain((draft, written) => {
    draft.own.emailAlertSeconds = leadingNumber(written);
  }),
  emailalertstatus: plain((draft, written) => {
    draft.own.emailAlertStates = emailStates(written);
  }),
  smtp: plain((draft, written) => {
    draft.own.smtp = smtpServer(written);
  }),
};

function setFallback(draft: VirtualDraft, written: Written, family: 'ipv4' | 'ipv6'): void {
  refuseOtherFamily(written, 'fallback', family, draft.family);
  draft.fallback = parseFallback(written);
}

/** `real` and `fallback` want the family of their block. */
export function refuseOtherFamily(
  written: Pick<Written, 'place'>,
  name: string,
  family: 'ipv4' | 'ipv6',
  wanted: 'ipv4' | 'ipv6',
): void {
  if (family === wanted) return;
  const [here, instead] = family === 'ipv6' ? [`${name}6`, name] : [name, `${name}6`];
  const text = `cannot specify "${here}" here.  please use "${instead}" instead`;
  throw new ConfigurationError(written.place, text, { expected: instead });
}

function plain(apply: BlockDirective['apply']): BlockDirective {
  return { form: 'plain', apply };
}

function quoted(apply: BlockDirective['apply']): BlockDirective {
  return { form: 'quoted', apply };
}

function maybeQuoted(apply: BlockDirective['apply']): BlockDirective {
  return { form: 'maybe quoted', apply };
}
