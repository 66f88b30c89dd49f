// What the page uses of preact-htm-signals.js, for the type checker and the editor. Ours, not vendored; it is not used
// at run time.

type Setter<T> = (next: T | ((old: T) => T)) => void;
type Cleanup = void | undefined | (() => unknown);

export interface Signal<T> {
  value: T;
}
export function signal<T>(value: T): Signal<T>;
export function computed<T>(compute: () => T): { readonly value: T };
export function effect(run: () => Cleanup): () => void;
export function batch<T>(run: () => T): T;

export function h(type: any, props: any, ...children: any[]): any;
export function html(strings: TemplateStringsArray, ...values: any[]): any;
export function render(node: any, parent: Element): void;
export const Fragment: any;

export function useState<T>(initial: T | (() => T)): [T, Setter<T>];
export function useReducer<S, A>(reducer: (state: S, action: A) => S, initial: S): [S, (action: A) => void];
export function useRef<T>(initial: T): { current: T };
export function useMemo<T>(make: () => T, inputs: unknown[]): T;
export function useCallback<F extends (...args: any[]) => any>(callback: F, inputs: unknown[]): F;
export function useEffect(run: () => Cleanup, inputs?: unknown[]): void;
export function useLayoutEffect(run: () => Cleanup, inputs?: unknown[]): void;
