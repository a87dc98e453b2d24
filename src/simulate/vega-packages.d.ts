/** What is used of the packages vega and vega-lite, which are optional: the sources compile without them. */
declare module 'vega-lite' {
  /** A specification, checked by the package when it is compiled. */
  export type TopLevelSpec = Readonly<Record<string, unknown>>;
  export function compile(specification: TopLevelSpec): { readonly spec: object };
}

declare module 'vega' {
  export function parse(specification: object): object;
  export class View {
    constructor(runtime: object, options: { readonly renderer: 'none' });
    toSVG(): Promise<string>;
    finalize(): unknown;
  }
}
