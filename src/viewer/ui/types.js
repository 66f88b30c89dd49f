// @ts-check
// What the API answers with, as types for the editor (docs/viewer-api.md is the contract). Nothing here runs.
//
// Units: absolute times are nanoseconds since the Unix epoch as text, durations are nanoseconds as numbers, money is
// USD. null means "not known" and is never shown as 0.

/** @typedef {"ok"|"error"|"cancelled"|"interrupted"|"abandoned"|"running"|"lost"} Status */
/** @typedef {{input: number|null, output: number|null, cached: number|null, reasoning: number|null}} Usage */

/**
 * One trace in a list.
 * @typedef {{id: string, name: string, status: Status, errors: number, start: string, duration: number|null,
 *   spans: number, open: number, agents: string[], generations: number, tools: number, tokens: Usage,
 *   cost: number|null, unpriced: number, session: string|null, user: string|null, service: string|null,
 *   environment: string|null, input: string|null, output: string|null, error: string|null, tags: string[],
 *   scores: {name: string, value: number|null, label: string|null}[]}} TraceRow
 */

/** @typedef {{buckets: [string, number, number][], count: number, errors: number, p50: number|null,
 *   p95: number|null, p99: number|null, cost: number|null}} Strip */

/**
 * The spans of a trace as columns; texts are indices into `names`.
 * @typedef {{n: number, names: string[], id: string[], parent: number[], name: number[], kind: number[],
 *   agent: number[], model: number[], start: number[], duration: (number|null)[], status: number[],
 *   own_error: number[], error: number[], input_tokens: (number|null)[], output_tokens: (number|null)[],
 *   cost: (number|null)[], first_chunk: (number|null)[], service: number[]}} Skeleton
 */

/** @typedef {{id: number, span: string, name: string, value: number|null, label: string|null, comment: string|null,
 *   source: string, author: string, time: string, trace?: string}} Score */

/** @typedef {{trace: TraceRow, spans: Skeleton, links: [number, string, string, string][],
 *   warnings: {kind: string, count: number, text: string}[], scores: Score[]}} WholeTrace */

/** @typedef {{type: string, content?: any, id?: string, name?: string, arguments?: any, result?: any, whole?: number,
 *   [key: string]: any}} Part */
/** @typedef {{role: string, name?: string, parts: Part[], finish_reason?: string}} Message */

/**
 * One span with its content.
 * @typedef {{id: string, trace: string, parent: string|null, name: string, kind: string, status: Status,
 *   agent: string|null, model: string|null, provider: string|null, start: string, duration: number|null,
 *   service: string|null, error: {type: string|null, message: string|null, stack: string|null}|null,
 *   messages: {instructions?: Message[], input?: Message[], output?: Message[]}|null,
 *   tools: {name: string, description: string|null, parameters: any}[]|null,
 *   documents: {id: string|null, score: number|null, content: string|null, metadata: any}[]|null,
 *   query: string|null, input: string|null, output: string|null, whole?: Record<string, number>|null, usage: Usage|null, cost: number|null,
 *   first_chunk: number|null, finish_reasons: string[]|null, attributes: Record<string, any>,
 *   events: {time: string, name: string, attributes: Record<string, any>}[],
 *   links: {trace: string, span: string, role: string|null, attributes: Record<string, any>}[],
 *   resource: Record<string, any>, bytes: number}} SpanBody
 */

/** @typedef {{id: string, kind: string, name: string, calls: number, errors: number, duration: number|null,
 *   tokens: number|null, cost: number|null, models: [string, number][]}} GraphNode */
/** @typedef {{from: string, to: string, calls: number, errors: number, duration: number|null, spans: string[],
 *   handoff: boolean}} GraphEdge */
/** @typedef {{nodes: GraphNode[], edges: GraphEdge[]}} Graph */

/** @typedef {{key: string, count: number, errors: number, p50: number|null, p95: number|null, p99: number|null,
 *   tokens: number|null, cost: number|null}} Figures */
/** @typedef {{step: number, start: string, sketched: boolean,
 *   series: {key: string, points: [number, any, number][]}[]}} Series */

/** @typedef {{id: string, agent: string|null, name: string, type: string|null, message: string|null, count: number,
 *   traces: number, recovered: number, first: string, last: string, example: {trace: string, span: string},
 *   trend: number[]}} ErrorGroup */
/** @typedef {{session: string, user: string|null, traces: number, errors: number, first: string|null, start: string,
 *   end: string, duration: number|null, tokens: number|null, cost: number|null}} SessionRow */
/** @typedef {{version: string, path: string, bytes: number, traces: number, spans: number, schema: number,
 *   last_span: number, maintainer: boolean}} StoreStatus */

export {};
