/** An archive in the format that the kernel unpacks as its first file system (cpio, "newc"). */
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';

const FOLDER = 0o040000;
const FILE = 0o100000;
const LINK = 0o120000;
const DEVICE = 0o020000;
const TRAILER = 'TRAILER!!!';

export class Archive {
  /** @type {Map<string, { mode: number, data: Buffer, major: number, minor: number }>} by path without the first slash */
  #entries = new Map();

  /** @param {string} path @param {string | Buffer} data */
  file(path, data, permissions = 0o644) {
    this.#add(path, FILE | permissions, Buffer.from(data));
  }

  /** @param {string} path @param {string} target */
  link(path, target) {
    this.#add(path, LINK | 0o777, Buffer.from(target));
  }

  /** @param {string} path */
  folder(path, permissions = 0o755) {
    this.#add(path, FOLDER | permissions, Buffer.alloc(0));
  }

  /** A character device. @param {string} path @param {number} major @param {number} minor */
  device(path, major, minor) {
    this.#add(path, DEVICE | 0o600, Buffer.alloc(0), major, minor);
  }

  /**
   * A file or a whole folder of this machine, links as they are.
   * @param {string} source @param {string} [path] where it goes; the same path unless told
   * @param {(source: string) => boolean} [wanted]
   */
  copy(source, path = source, wanted = () => true) {
    if (!wanted(source)) return;
    const status = lstatSync(source);
    if (status.isSymbolicLink()) this.link(path, readlinkSync(source));
    else if (status.isFile()) this.file(path, readFileSync(source), status.mode & 0o7777);
    else if (status.isDirectory()) {
      this.folder(path, status.mode & 0o7777);
      for (const name of readdirSync(source)) this.copy(join(source, name), join(path, name), wanted);
    }
  }

  /** @param {string} path */
  has(path) {
    return this.#entries.has(path.replace(/^\/+/, ''));
  }

  /** The whole archive. */
  bytes() {
    const parts = [];
    let inode = 1;
    for (const [path, { mode, data, major, minor }] of this.#entries) {
      parts.push(...record(path, { inode: inode++, mode, data, major, minor }));
    }
    parts.push(...record(TRAILER, { inode: 0, mode: 0, data: Buffer.alloc(0), major: 0, minor: 0 }));
    return Buffer.concat(parts);
  }

  #add(path, mode, data, major = 0, minor = 0) {
    const name = path.replace(/^\/+/, '');
    const parent = dirname(name);
    if (parent !== '.' && !this.#entries.has(parent)) this.folder(parent);
    this.#entries.set(name, { mode, data, major, minor });
  }
}

/** A header of fixed numbers in hexadecimal, the name, the contents; each part fills up to four bytes. */
function record(path, { inode, mode, data, major, minor }) {
  const name = Buffer.from(`${path}\0`);
  const numbers = [inode, mode, 0, 0, 1, 0, data.length, 0, 0, major, minor, name.length, 0];
  const header = Buffer.from(`070701${numbers.map((number) => number.toString(16).padStart(8, '0')).join('')}`);
  return [header, name, filling(header.length + name.length), data, filling(data.length)];
}

function filling(length) {
  return Buffer.alloc((4 - (length % 4)) % 4);
}
