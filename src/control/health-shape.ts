/** What a health report must look like when it comes from outside. */
import { IpvsError } from '../model/errors.ts';
import {
  HEALTH_STATES,
  type HealthChange,
  type HealthOfServer,
  type HealthOfService,
  type HealthReport,
  type HealthResult,
} from '../model/health.ts';
import {
  HEALTH_CHANGES_MAX,
  HEALTH_REASON_CHARACTERS_MAX,
  HEALTH_SERVERS_MAX,
  HEALTH_SERVICES_MAX,
} from '../model/limits.ts';
import { serviceKeyShape } from './command-shapes.ts';
import { boolean, checkShape, integer, list, nullable, number, object, type Shape, text, word } from './shape.ts';

const INT32_MAX = 0x7fff_ffff;
const RENEW_SECONDS_MAX = 3_600;
/** `2026-11-23T05:00:00.000Z` */
const time = text(32);
const reason = text(HEALTH_REASON_CHARACTERS_MAX);
const state = word(...HEALTH_STATES);
const count = integer(0, INT32_MAX);

const change = object<HealthChange>({ number: integer(1, Number.MAX_SAFE_INTEGER), at: time, state, reason }, {});
const result = object<HealthResult>({ at: time, healthy: boolean, reason, latencyMs: nullable(number) }, {});
const server = object<HealthOfServer>(
  {
    address: text(64),
    port: integer(0, 65_535),
    state,
    since: time,
    result: nullable(result),
    failures: count,
    failuresMax: count,
    nextCheckAt: nullable(time),
    changes: list(change, HEALTH_CHANGES_MAX),
  },
  {},
);
const service = object<HealthOfService>(
  {
    key: serviceKeyShape,
    check: text(1_024),
    fallback: nullable(text(80)),
    fallbackInUse: boolean,
    servers: list(server, HEALTH_SERVERS_MAX),
  },
  {},
);

export const HEALTH_REPORT_SHAPE: Shape = object<HealthReport>(
  {
    program: text(64),
    pid: integer(1, INT32_MAX),
    configuration: text(4_096),
    startedAt: time,
    renewSeconds: integer(1, RENEW_SECONDS_MAX),
    services: list(service, HEALTH_SERVICES_MAX),
  },
  {},
);

/** Throws EINVAL with a sentence when it is none. */
export function parseHealthReport(value: unknown): HealthReport {
  checkShape(value, HEALTH_REPORT_SHAPE, 'report');
  return value as HealthReport;
}

/** A name in a path: throws EINVAL unless it is short and plain. */
export function checkHealthSource(name: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/.test(name)) return name;
  throw new IpvsError(
    'EINVAL',
    `a source of health must be named with letters, digits, dots, dashes and underscores, not "${name.slice(0, 60)}"`,
  );
}
