'use strict';
// What is appended to a log, across rotations; read when it is asked for.

const fs = require('node:fs');
const path = require('node:path');
const { StringDecoder } = require('node:string_decoder');

const PIECE_BYTES = 64 << 10;

/** Reads what is appended to a file from a time on; the file may come later. */
class Tail {
  /**
   * @param {string} file
   * @param {number} since in milliseconds; of a file that is younger all is read
   * @param {number} [size] how long the file was then, if that is known
   */
  constructor(file, since, size) {
    this.file = file;
    this.fd = -1;
    this.inode = 0;
    this.position = 0;
    this.decoder = new StringDecoder('utf8');
    this.open();
    if (this.fd < 0) return;
    const now = fs.fstatSync(this.fd);
    this.position = now.birthtimeMs >= since ? 0 : (size ?? now.size);
  }

  open() {
    try {
      this.fd = fs.openSync(this.file, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
      const { ino } = fs.fstatSync(this.fd);
      this.inode = ino;
      this.position = 0;
    } catch {
      this.fd = -1;
    }
  }

  /**
   * Return what is new, at most some pieces of it.
   * @returns {string}
   */
  read() {
    if (this.fd < 0) this.open();
    let found = this.readOpen();
    let inode = this.inode;
    try {
      inode = fs.statSync(this.file).ino;
    } catch {
      // It was moved, and is not there again yet.
    }
    if (found === '' && inode !== this.inode) {
      this.close();
      this.open();
      found = this.readOpen();
    }
    return found;
  }

  readOpen() {
    if (this.fd < 0) return '';
    const piece = Buffer.alloc(PIECE_BYTES);
    let found = '';
    try {
      const { size } = fs.fstatSync(this.fd);
      if (size < this.position) this.position = 0; // it was truncated: `flush`
      for (let round = 0; round < 16 && this.position < size; round += 1) {
        const count = fs.readSync(this.fd, piece, 0, PIECE_BYTES, this.position);
        if (count === 0) break;
        this.position += count;
        found += this.decoder.write(piece.subarray(0, count));
      }
    } catch {
      // What cannot be read is not told.
    }
    return found;
  }

  close() {
    if (this.fd >= 0) fs.closeSync(this.fd);
    this.fd = -1;
  }
}

/**
 * Return how long each file of a directory is now.
 * @param {string} directory
 * @returns {Map<string, number>}
 */
function sizesIn(directory) {
  /** @type {Map<string, number>} */
  const found = new Map();
  try {
    for (const name of fs.readdirSync(directory)) {
      const file = path.join(directory, name);
      found.set(file, fs.statSync(file).size);
    }
  } catch {
    // There is none yet, or a file has gone meanwhile.
  }
  return found;
}

module.exports = { Tail, sizesIn };
