import { createServer } from 'node:http';
import { createPool, type Pool as MysqlPool } from 'mysql2/promise';
import { Client, Pool } from 'pg';
import { Drain, Draining, type Counts } from 'gapless-drain';

const drain = new Drain({ status: 503, healthPath: '/health', onSignal: null });
const server = drain.attach(createServer(drain.listener((_, response) => response.end())));
server.listen(0);
const seven: number = drain.procedure('count', () => 7);
const later: Promise<string> = drain.procedure('later', async () => 'x');
const counts: Counts = drain.counts();
const error: Error = new Draining();
const pool: Pool = drain.database(new Pool(), { functions: ['pay'], everyStatement: true });
const client: Client = drain.database(new Client());
const mysqlPool: MysqlPool = drain.database(createPool({ uri: 'mysql://127.0.0.1' }));
export { client, mysqlPool, pool };
// @ts-expect-error a name is no connection
drain.database('postgresql://127.0.0.1');
// @ts-expect-error there is no such option
drain.database(pool, { function: ['pay'] });
export { counts, error, later, seven };
// @ts-expect-error there is no such option
new Drain({ statsu: 503 });
