/** What is written is read again as the same, in every format and from one to the other. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { desiredBalancer } from '../../src/config/desired.ts';
import { readKeepalived } from '../../src/config/keepalived/read.ts';
import { writeKeepalived } from '../../src/config/keepalived/write.ts';
import { readNative } from '../../src/config/native-read.ts';
import { writeNative } from '../../src/config/native-write.ts';
import { readRulesFile, writeRulesFile } from '../../src/ipvsadm/rules-file.ts';
import { fromBlueprint, toBlueprint } from '../../src/ldirectord/blueprint.ts';
import { type ParseEnvironment, systemEnvironment } from '../../src/ldirectord/config/environment.ts';
import type { Configuration } from '../../src/ldirectord/config/types.ts';
import { parseConfiguration } from '../../src/ldirectord/config.ts';
import { destinationSpec, fallbackSpec, serviceSpec } from '../../src/ldirectord/specs.ts';
import { writeConfiguration } from '../../src/ldirectord/write.ts';
import type { Blueprint, ReadFile, WrittenFile } from '../../src/model/blueprint.ts';
import { describeVirtual } from '../ldirectord/describe.ts';
import { arbitraryBlueprint, type Format, meaning } from './blueprints.ts';

const HOST = 'director.example';
const environment: ParseEnvironment = { ...systemEnvironment, hostName: () => HOST, refusesAppend: () => null };
const noNames = {
  findAddress: async () => null,
  findHost: async () => null,
  findPort: () => null,
  findService: () => null,
};

const parse = (text: string): Promise<Configuration> => parseConfiguration(text, environment);
const WAYS: Readonly<
  Record<Format, { read(text: string): ReadFile | Promise<ReadFile>; write(blueprint: Blueprint): WrittenFile }>
> = {
  yaml: { read: readNative, write: (blueprint) => ({ text: writeNative(blueprint), lost: [] }) },
  ldirectord: { read: async (text) => toBlueprint(await parse(text)), write: writeConfiguration },
  ipvsadm: { read: (text) => readRulesFile(text, noNames), write: writeRulesFile },
  keepalived: { read: (text) => readKeepalived(text, () => []), write: writeKeepalived },
};
const FORMATS = Object.keys(WAYS) as Format[];

describe('a blueprint that a format can hold comes back from it as it was, and nothing is told as lost', () => {
  test.each(FORMATS)('%s', async (format) => {
    const { read, write } = WAYS[format];
    await fc.assert(
      fc.asyncProperty(arbitraryBlueprint(format), async (blueprint) => {
        const written = write(blueprint);
        expect(written.lost).toEqual([]);
        const again = await read(written.text);
        expect(meaning(again.blueprint), written.text).toEqual(meaning(blueprint));
        expect(again.lost).toEqual([]);
      }),
      { numRuns: 120 },
    );
  });
});

describe('whatever a blueprint says, what a format leaves out of the table is told', () => {
  test.each(FORMATS)('%s', async (format) => {
    const { read, write } = WAYS[format];
    await fc.assert(
      fc.asyncProperty(arbitraryBlueprint('yaml'), async (blueprint) => {
        const written = write(blueprint);
        const again = await read(written.text);
        if (written.lost.length === 0) expect(tableOf(again.blueprint), written.text).toEqual(tableOf(blueprint));
        expect(again.blueprint.services.length).toBeLessThanOrEqual(blueprint.services.length);
      }),
      { numRuns: 60 },
    );
  });
});

/** What a daemon would be given. */
function tableOf(blueprint: Blueprint): unknown {
  const { services, timeouts } = desiredBalancer(blueprint);
  return { services: services.map(({ spec, destinations, fallback }) => ({ spec, destinations, fallback })), timeouts };
}

/** What counts of a configuration: what the table gets, how servers are checked, and all settings. */
function meaningOfConfiguration({ globals, virtuals }: Configuration): unknown {
  const { fork, ...others } = globals;
  return {
    globals: others,
    virtuals: virtuals.map((virtual) => {
      const { own, checkinterval, schedflags, ipvsadm_add, real, netmask, ops, ...described } =
        describeVirtual(virtual);
      return {
        ...described,
        service: serviceSpec(virtual),
        fallbackSpec: fallbackSpec(virtual),
        effective: virtual.effective,
        own: { ...virtual.own, fallback: null, checkIntervalSeconds: null },
        servers: virtual.real.map((server) => ({
          spec: destinationSpec(virtual, server),
          checked: server.receive === null ? null : [server.request, server.receive],
          port: server.port,
        })),
        urls: (real as { url: unknown }[]).map(({ url }) => url),
      };
    }),
  };
}

const EXAMPLES = join(import.meta.dirname, '../ldirectord/examples');
const ACCEPTED = readdirSync(EXAMPLES).filter((name) => name.endsWith('.cf') && name < '50');

describe('every file that ldirectord accepts', () => {
  test('is there', () => {
    expect(ACCEPTED.length).toBe(19);
  });

  test.each(ACCEPTED)('%s means the same as uipvs.yaml', async (name) => {
    const original = await parse(readFileSync(join(EXAMPLES, name), 'utf8'));
    const yaml = writeNative(toBlueprint(original).blueprint);
    const native = fromBlueprint(readNative(yaml).blueprint, HOST);
    expect(meaningOfConfiguration(native), yaml).toEqual(meaningOfConfiguration(original));
  });

  test.each(ACCEPTED)('%s means the same when it was uipvs.yaml in between', async (name) => {
    const original = await parse(readFileSync(join(EXAMPLES, name), 'utf8'));
    const yaml = writeNative(toBlueprint(original).blueprint);
    const { text, lost } = writeConfiguration(readNative(yaml).blueprint);
    expect(lost).toEqual([]);
    expect(meaningOfConfiguration(await parse(text)), text).toEqual(meaningOfConfiguration(original));
  });
});
