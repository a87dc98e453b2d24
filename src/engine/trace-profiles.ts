/** What a trace can be about besides its filter. One line each; the names are words of `uipvs trace --profile`. */
import { TCP_RST } from '../wire/tcp.ts';
import type { Facts } from './observation.ts';
import { DROP } from './verdict.ts';

export const TRACE_PROFILES: Readonly<Record<string, (facts: Facts) => boolean>> = {
  all: () => true,
  drops: ({ verdict }) => verdict === DROP,
  'new-connections': ({ isNew }) => isNew,
  resets: ({ ends }) => ends.isIp && ends.protocol === 6 && (ends.tcpFlags & TCP_RST) !== 0,
};
