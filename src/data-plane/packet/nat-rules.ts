/**
 * Reads the host's MASQUERADE and SNAT rules: those of nft and iptables-nft with `nft`, those of the older iptables,
 * which nft does not show, with `iptables-legacy-save`. What cannot be read becomes a rule that says so.
 */
import { readFile } from 'node:fs/promises';
import type { AddressFamily } from '../../model/service.ts';
import type { PortRange, SourceNatRules } from '../../model/source-nat-rule.ts';
import { flatten } from '../nat-rules/flatten.ts';
import { parseIptablesSave } from '../nat-rules/iptables-save.ts';
import { brokenRule, type NatTable } from '../nat-rules/nat-table.ts';
import { hasForeignRules, type NftTableName, natTablesOf, parseNftTable } from '../nat-rules/nft-json.ts';
import { runTool, type ToolResult } from './run-tool.ts';

interface LegacyTables {
  readonly family: AddressFamily;
  /** Names of the tables that the kernel has loaded; reading another one would load it. */
  readonly namesFile: string;
  readonly save: string;
  /** How the program calls itself. */
  readonly origin: string;
}

const LEGACY: readonly LegacyTables[] = [
  { family: 'ipv4', namesFile: '/proc/net/ip_tables_names', save: 'iptables-legacy-save', origin: 'iptables-legacy' },
  {
    family: 'ipv6',
    namesFile: '/proc/net/ip6_tables_names',
    save: 'ip6tables-legacy-save',
    origin: 'ip6tables-legacy',
  },
];

/** Tables of nft that iptables fills, and what reads them. */
const IPTABLES_NFT: Readonly<Record<string, { readonly family: AddressFamily; readonly program: string }>> = {
  'ip nat': { family: 'ipv4', program: 'iptables' },
  'ip6 nat': { family: 'ipv6', program: 'ip6tables' },
};

/** The rules of this process's network namespace. Never rejects. */
export async function readNatRules(localPortRange: PortRange): Promise<SourceNatRules> {
  const tables = await Promise.all([readNftTables(), ...LEGACY.map(readLegacyTable)]);
  return flatten(tables.flat(), localPortRange);
}

/** The older iptables has rules here; nobody tells of their changes. */
export async function hasLegacyRules(): Promise<boolean> {
  return (await Promise.all(LEGACY.map(isLoaded))).includes(true);
}

async function readNftTables(): Promise<NatTable[]> {
  const chains = await runTool('nft', ['-j', 'list', 'chains']);
  // Without nft there may still be legacy rules, and whoever wants the guard is told elsewhere.
  if (chains.missing) return [];
  if (chains.code !== 0) return [unreadable('nft', chains)];
  const names = attempt(() => natTablesOf(chains.stdout), []);
  return Promise.all(names.map(readNftTable));
}

async function readNftTable(name: NftTableName): Promise<NatTable> {
  const words = ['list', 'table', name.family, name.name];
  const [json, listing] = await Promise.all([runTool('nft', ['-j', ...words]), runTool('nft', ['-a', ...words])]);
  const origin = `nft ${name.family} ${name.name}`;
  if (json.code !== 0) return unreadable(origin, json);
  const iptables = IPTABLES_NFT[`${name.family} ${name.name}`];
  if (iptables !== undefined && attempt(() => hasForeignRules(json.stdout), false)) {
    const saved = await runTool(`${iptables.program}-nft-save`, ['-t', 'nat']);
    const table = saved.code === 0 ? parseIptablesSave(saved.stdout, iptables.program, iptables.family) : null;
    if (table !== null) return table;
  }
  return attempt(() => parseNftTable(json.stdout, listing.stdout, name), unreadable(origin, json));
}

async function readLegacyTable(legacy: LegacyTables): Promise<NatTable[]> {
  if (!(await isLoaded(legacy))) return [];
  const saved = await runTool(legacy.save, ['-t', 'nat']);
  if (saved.code !== 0) return [unreadable(legacy.origin, saved)];
  return [parseIptablesSave(saved.stdout, legacy.origin, legacy.family)].filter((table) => table !== null);
}

async function isLoaded({ namesFile }: LegacyTables): Promise<boolean> {
  const names = await readFile(namesFile, 'utf8').catch(() => '');
  return names.split('\n').includes('nat');
}

/** A table that says in the place of its rules why they are not known. */
function unreadable(origin: string, { complaint }: ToolResult): NatTable {
  const rule = brokenRule('(all of its rules)', `they cannot be read: ${complaint || 'the answer is not understood'}`);
  return { origin, chains: new Map([['', [rule]]]), bases: [{ chain: '', priority: 0 }] };
}

function attempt<T>(read: () => T, otherwise: T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof SyntaxError) return otherwise;
    throw error;
  }
}
