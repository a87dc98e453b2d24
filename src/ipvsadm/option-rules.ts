/** Which option goes with which command and which tunnel type, checked in ipvsadm's order. */
import type { Draft } from './draft.ts';
import {
  COMMAND_RULES,
  type CommandWord,
  OPTION_NAMES,
  type OptionName,
  type OptionRules,
  TUNNEL_OPTION_NAMES,
  TUNNEL_RULES,
} from './option-table.ts';
import { mistake } from './usage-error.ts';

/** Throws a UsageError for the first option that is missing, illegal, or in conflict with another. */
export function checkOptions(given: ReadonlySet<OptionName>, word: CommandWord): void {
  check(given, OPTION_NAMES, COMMAND_RULES[word], `'${word}' command`);
}

export function checkTunnelOptions(draft: Draft): void {
  const given = draft.given;
  if (draft.method !== 'tunnel') {
    if (given.has('tun-type') || TUNNEL_OPTION_NAMES.some((name) => given.has(name))) {
      throw mistake('Tunnel options conflict with forward method');
    }
    return;
  }
  check(given, TUNNEL_OPTION_NAMES, TUNNEL_RULES[draft.tunnelType], `'${draft.tunnelType}' tunnel type`);
}

function check(
  given: ReadonlySet<OptionName>,
  names: readonly OptionName[],
  rules: OptionRules,
  whereText: string,
): void {
  let exclusive: OptionName | null = null;
  for (const name of names) {
    const rule = rules[name];
    if (!given.has(name)) {
      if (rule === 'required') throw mistake(`You need to supply the '${name}' option for the ${whereText}`);
    } else if (rule === undefined) {
      throw mistake(`Illegal '${name}' option with the ${whereText}`);
    } else if (rule === 'exclusive') {
      if (exclusive !== null) {
        throw mistake(`The option '${name}' conflicts with the '${exclusive}' option in the ${whereText}`);
      }
      exclusive = name;
    }
  }
}

const TABLE_VIEWS: readonly OptionName[] = ['stats', 'rate', 'thresholds'];

/** `--connection`, `--timeout` and `--daemon` list something that has none of these columns. */
export function checkListOptions(given: ReadonlySet<OptionName>): void {
  const settings = given.has('timeout') || given.has('daemon');
  const other = settings || given.has('connection');
  if ((other && TABLE_VIEWS.some((name) => given.has(name))) || (settings && given.has('persistent-conn'))) {
    throw mistake('options conflicts in the list command');
  }
}
