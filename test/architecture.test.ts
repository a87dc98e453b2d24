/**
 * The floors of the house, as code. A room is a folder under src/ (and native-free/); it may import the rooms that
 * its line names, and nothing sideways or up. Rooms that are not built yet stand in the table all the same.
 */
import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseSource, readSources, type SourceFile } from './support/source-imports.ts';

interface Room {
  readonly floor: number;
  /** Rooms, single files of a room (`wire/print`), or `*` for every room below. */
  readonly imports: readonly string[];
}

const ROOMS: Readonly<Record<string, Room>> = {
  wire: { floor: 0, imports: [] },
  native: { floor: 0, imports: [] },
  model: { floor: 1, imports: ['wire'] },
  'packet-io': { floor: 1, imports: ['wire', 'native'] },
  balance: { floor: 2, imports: ['model', 'wire'] },
  engine: { floor: 3, imports: ['balance', 'model', 'wire'] },
  // An ICMP echo needs a raw socket.
  health: { floor: 3, imports: ['model', 'native'] },
  // What the kernel is told is read from specs by the checks that the table uses.
  'data-plane': { floor: 4, imports: ['engine', 'balance/checks', 'packet-io', 'native', 'model', 'wire'] },
  control: { floor: 5, imports: ['model'] },
  // Addresses that a file holds as numbers, and that an operator typed, become text in one place.
  ipvsadm: { floor: 6, imports: ['control', 'model', 'wire/address'] },
  ldirectord: { floor: 6, imports: ['control', 'health', 'model'] },
  config: { floor: 6, imports: ['control', 'health', 'model'] },
  // The far end of a tunnel on a server needs raw sockets.
  lab: { floor: 6, imports: ['model', 'native'] },
  // Asks the daemon, asks the network (ARP, a SYN, an echo) and listens to what passes by.
  doctor: { floor: 6, imports: ['control', 'packet-io', 'model', 'wire'] },
  // Plays recordings in virtual time, frame by frame: that is the engine's own door, below that of a data plane.
  conform: { floor: 7, imports: ['data-plane', 'engine', 'balance', 'ipvsadm', 'model', 'wire'] },
  // Commands and connections over two data planes, each in a network of the lab.
  compare: { floor: 7, imports: ['control', 'ipvsadm', 'lab', 'model'] },
  // Tells what became of a packet, and tries packets in an engine of its own where no daemon runs.
  explain: { floor: 5, imports: ['engine', 'model', 'wire'] },
  // Production schedulers under traffic that does not exist.
  simulate: { floor: 5, imports: ['balance', 'engine/random', 'model'] },
  // Captures: replayed by an engine in this process, or taken from the running one; what is read in them, in words.
  trace: { floor: 7, imports: ['data-plane', 'engine', 'packet-io', 'control', 'model', 'wire'] },
  // Chapters as text; what they do they do as a reader would, by typing commands.
  lessons: { floor: 0, imports: [] },
  web: { floor: 7, imports: ['control', 'ipvsadm', 'ldirectord', 'config', 'lab', 'doctor', 'model', 'wire/print'] },
  cli: {
    floor: 8,
    imports: [
      'control',
      'ipvsadm',
      'ldirectord',
      'config',
      'lab',
      'doctor',
      'conform',
      'compare',
      'explain',
      'simulate',
      'trace',
      'lessons',
      'web',
      'model',
    ],
  },
  // Schedulers see addresses as words, and sockets tell them as text.
  'native-free': { floor: 8, imports: ['engine', 'packet-io', 'data-plane', 'model', 'balance', 'wire'] },
  bin: { floor: 9, imports: ['*'] },
};

/** Nothing from Node and no package: these rooms run wherever JavaScript runs. */
const PURE_ROOMS = ['wire', 'model', 'balance', 'engine'];
/** Concrete data planes: of all rooms only their own and that of the programs name them. */
const CONCRETE_DATA_PLANES = ['src/data-plane/packet/', 'src/data-plane/kernel/', 'native-free/'];

/** Files that are started or published, not imported. The programs of package.json are added. */
const ENTRIES = ['src/index.ts', 'src/data-plane/packet/worker.ts', 'native-free/processes/helper.ts'];
/** Real servers and clients that the lab starts as processes. */
const ENTRY_PATTERN = /^src\/lab\/[^/]+-(?:server|client)\.ts$/;
/** What no program of ours needs, or none yet, and why it is there. */
const WITHOUT_A_PROGRAM: Readonly<Record<string, string>> = {
  'src/packet-io/memory.ts': 'the cable of tests',
  'src/packet-io/with-capture.ts': 'a capture of what a back end carries, for tests',
  'src/packet-io/with-faults.ts': 'the bad cable of tests',
  'src/simulate/vega-packages.d.ts': 'types of packages that are optional, for the compiler alone',
};

/** Cycles that are there and should go: a line is taken out together with its cycle. */
const KNOWN_CYCLES: readonly string[] = [];

const ROOT = join(import.meta.dirname, '..');
const sources = readSources(ROOT, ['src', 'native-free']);
const programs = programsOf(join(ROOT, 'package.json'));

describe('the house', () => {
  test('has only rooms that the table of floors names', () => {
    expect(
      sources.filter((source) => roomOf(source.path) === null && !ENTRIES.includes(source.path)).map(pathOf),
    ).toEqual([]);
  });

  test('has stairs that only go down', () => {
    expect(stairsUp(sources)).toEqual([]);
  });

  test('has no file that leads back to itself, but for those that are known', () => {
    expect(cycles(sources)).toEqual(KNOWN_CYCLES);
  });

  test('is pure on its lower floors: no Node, no package', () => {
    expect(impurities(sources)).toEqual([]);
  });

  test('imports every package in one file, which wraps it', () => {
    expect(sharedPackages(sources)).toEqual([]);
  });

  test('names a concrete data plane only in its own room and in the programs', () => {
    expect(namesOfDataPlanes(sources)).toEqual([]);
  });

  // Before all programs are there, nothing can tell whether a file will be used.
  test.skipIf(!programs.every((program) => existsSync(join(ROOT, program))))(
    'has no file that nothing leads to',
    () => {
      expect(unreached(sources, [...ENTRIES, ...programs, ...Object.keys(WITHOUT_A_PROGRAM)])).toEqual([]);
    },
  );
});

describe('these rules notice', () => {
  const file = (path: string, ...lines: string[]) => parseSource(path, lines.join('\n'));

  test('every way to import', () => {
    const source = file(
      'src/packet-io/x.ts',
      '/** Not this: import { a } from "../engine/a.ts"; */',
      "// import { b } from '../engine/b.ts';",
      "import { c } from '../wire/c.ts';",
      "import type { d } from '../wire/d.ts';",
      'import {',
      '  e,',
      "} from '../wire/e.ts';",
      "export { f } from './f.ts';",
      "import './g.ts';",
      "const h = await import('./h.ts');",
      "const i = createRequire(import.meta.url)('@scope/cap');",
      "import { readFileSync } from 'node:fs';",
      "const path = require.resolve('koffi/package.json');",
      "new Worker(new URL('./worker.js', import.meta.url));",
    );
    expect(source).toEqual({
      path: 'src/packet-io/x.ts',
      files: ['f', 'g', 'h']
        .map((name) => `src/packet-io/${name}.ts`)
        .concat(['c', 'd', 'e'].map((name) => `src/wire/${name}.ts`)),
      typesOnly: ['src/wire/d.ts'],
      starts: ['src/packet-io/worker.ts'],
      node: ['fs'],
      packages: ['@scope/cap', 'koffi'],
    });
  });

  test('an import up, sideways or past the one file that is allowed', () => {
    expect(stairsUp([file('src/wire/a.ts', "import '../model/b.ts';")])).toEqual([
      'src/wire/a.ts imports src/model/b.ts: wire may import nothing',
    ]);
    expect(stairsUp([file('src/lab/a.ts', "import '../doctor/b.ts';")])).toEqual([
      'src/lab/a.ts imports src/doctor/b.ts: lab may import model, native',
    ]);
    expect(stairsUp([file('src/web/a.ts', "import '../wire/tcp.ts';", "import '../wire/print.ts';")])).toHaveLength(1);
    expect(
      stairsUp([
        file('src/bin/a.ts', "import '../wire/b.ts';", "import './c.ts';", "import '../../native-free/index.ts';"),
      ]),
    ).toEqual([]);
    expect(stairsUp([file('src/model/a.ts', "import '../bin/b.ts';")])).toHaveLength(1);
  });

  test('a cycle, also a long one', () => {
    const files = [
      file('src/model/a.ts', "import './b.ts';"),
      file('src/model/b.ts', "import './c.ts';"),
      file('src/model/c.ts', "import './b.ts';"),
    ];
    expect(cycles(files)).toEqual(['src/model/b.ts > src/model/c.ts > src/model/b.ts']);
    expect(cycles(files.slice(0, 2))).toEqual([]);
    expect(cycles([...files.slice(0, 2), file('src/model/c.ts', "import type { B } from './b.ts';")])).toEqual([]);
  });

  test('Node or a package where they do not belong, and a package in two files', () => {
    const files = [
      file('src/engine/a.ts', "import 'node:fs';"),
      file('src/wire/a.ts', "import 'koffi';"),
      file('src/native/a.ts', "import 'koffi';", "import 'node:fs';"),
    ];
    expect(impurities(files)).toEqual(['src/engine/a.ts imports node:fs', 'src/wire/a.ts imports koffi']);
    expect(sharedPackages(files)).toEqual(['koffi is imported by src/wire/a.ts and src/native/a.ts']);
  });

  test('a concrete data plane in a room that should not know it', () => {
    const files = [
      file('src/control/a.ts', "import '../data-plane/packet/host.ts';"),
      file('src/bin/b.ts', "import '../data-plane/packet/host.ts';"),
      file('src/data-plane/in-process.ts', "import './packet/turn.ts';"),
      file('src/cli/c.ts', "import '../../native-free/index.ts';"),
    ];
    expect(namesOfDataPlanes(files)).toEqual([
      'src/control/a.ts imports src/data-plane/packet/host.ts',
      'src/cli/c.ts imports native-free/index.ts',
    ]);
  });

  test('a file that nothing leads to, though another lonely file imports it', () => {
    const files = [
      file('src/bin/uipvs.ts', "void import('../control/a.ts');"),
      file('src/control/a.ts', "new Worker(new URL('./b.js', import.meta.url));"),
      file('src/control/b.ts'),
      file('src/control/island.ts', "import './shore.ts';"),
      file('src/control/shore.ts', "import './island.ts';"),
      file('src/lab/web-server.ts'),
    ];
    expect(unreached(files, ['src/bin/uipvs.ts'])).toEqual(['src/control/island.ts', 'src/control/shore.ts']);
  });
});

/** The sources of the programs in package.json: `dist/bin/uipvs.js` is made from `src/bin/uipvs.ts`. */
function programsOf(path: string): string[] {
  const { bin } = JSON.parse(readFileSync(path, 'utf8')) as { bin: Record<string, string> };
  return Object.values(bin).map((program) => `src/bin/${basename(program, '.js')}.ts`);
}

/** The room of a file, or `null` for one that lies in none. */
function roomOf(path: string): string | null {
  const [folder = '', room = '', inside] = path.split('/');
  if (folder === 'native-free') return folder;
  return folder === 'src' && inside !== undefined && ROOMS[room] !== undefined ? room : null;
}

function mayImport(room: string, target: string): boolean {
  const targetRoom = roomOf(target);
  if (targetRoom === room) return true;
  if (targetRoom === null) return false;
  const { floor, imports } = ROOMS[room] as Room;
  if ((ROOMS[targetRoom] as Room).floor >= floor) return false;
  return imports.some((allowed) => allowed === '*' || allowed === targetRoom || target === `src/${allowed}.ts`);
}

function stairsUp(files: readonly SourceFile[]): string[] {
  return files.flatMap(({ path, files: targets }) => {
    const room = roomOf(path);
    if (room === null) return [];
    const allowed = (ROOMS[room] as Room).imports.join(', ') || 'nothing';
    return targets
      .filter((target) => !mayImport(room, target))
      .map((target) => `${path} imports ${target}: ${room} may import ${allowed}`);
  });
}

function impurities(files: readonly SourceFile[]): string[] {
  return files
    .filter(({ path }) => PURE_ROOMS.includes(roomOf(path) ?? ''))
    .flatMap(({ path, node, packages }) =>
      [...node.map((name) => `node:${name}`), ...packages].map((name) => `${path} imports ${name}`),
    );
}

function sharedPackages(files: readonly SourceFile[]): string[] {
  const names = [...new Set(files.flatMap((file) => file.packages))].sort();
  return names.flatMap((name) => {
    const importers = files.filter((file) => file.packages.includes(name)).map(pathOf);
    return importers.length > 1 ? [`${name} is imported by ${importers.join(' and ')}`] : [];
  });
}

function namesOfDataPlanes(files: readonly SourceFile[]): string[] {
  return files.flatMap(({ path, files: targets }) =>
    targets
      .filter((target) => {
        const plane = CONCRETE_DATA_PLANES.find((prefix) => target.startsWith(prefix));
        if (plane === undefined || roomOf(path) === 'bin' || roomOf(path) === null) return false;
        return roomOf(path) !== roomOf(target);
      })
      .map((target) => `${path} imports ${target}`),
  );
}

/**
 * Every cycle that a walk from the first file on meets, told from the file where it closes. Imports of types alone do
 * not count: nothing is loaded for them.
 */
function cycles(files: readonly SourceFile[]): string[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const done = new Set<string>();
  const found: string[] = [];
  const walk = (path: string, trail: readonly string[]): void => {
    if (trail.includes(path)) found.push([...trail.slice(trail.indexOf(path)), path].join(' > '));
    if (done.has(path) || trail.includes(path)) return;
    const source = byPath.get(path);
    for (const target of source?.files ?? []) {
      if (source?.typesOnly.includes(target) === false) walk(target, [...trail, path]);
    }
    done.add(path);
  };
  for (const { path } of files) walk(path, []);
  return found;
}

function unreached(files: readonly SourceFile[], entries: readonly string[]): string[] {
  const byPath = new Map(files.map((file) => [file.path, file]));
  const reached = new Set<string>();
  const open = [...entries, ...files.map(pathOf).filter((path) => ENTRY_PATTERN.test(path))];
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (reached.has(path)) continue;
    reached.add(path);
    const source = byPath.get(path);
    if (source !== undefined) open.push(...source.files, ...source.starts);
  }
  return files.map(pathOf).filter((path) => !reached.has(path));
}

function pathOf(file: SourceFile): string {
  return file.path;
}
