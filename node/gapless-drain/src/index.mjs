import drain from './index.js';

export const { Drain, Draining } = drain;
