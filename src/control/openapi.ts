/** The API in the words of OpenAPI 3.1, made from the route table and the command table. */
import { COMMANDS, type CommandName } from '../model/commands.ts';
import { API_COMMANDS_MAX } from '../model/limits.ts';
import { HTTP_STATUS } from './api.ts';
import { COMMAND_SHAPES } from './command-shapes.ts';
import type { Shape } from './shape.ts';
import { uipvsVersion } from './version.ts';

type Json = Record<string, unknown>;

export interface RouteDescription {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** `{name}` stands for one part of the path. */
  readonly path: string;
  readonly summary: string;
  readonly answer: { readonly type: string; readonly description: string };
  readonly query?: Readonly<Record<string, { readonly type: 'integer' | 'string'; readonly description: string }>>;
  /** What stands for each `{name}` of the path. */
  readonly places?: Readonly<Record<string, string>>;
  /** The body is one command or a list of them. */
  readonly takesCommands?: true;
  /** The body, for other routes that take one. */
  readonly takes?: Shape;
}

export function describeApi(routes: readonly RouteDescription[]): Json {
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    paths[route.path] = { ...paths[route.path], [route.method.toLowerCase()]: describeRoute(route) };
  }
  const commands: Record<string, Json> = {};
  for (const name of Object.keys(COMMANDS) as CommandName[]) commands[name] = describeCommand(name);
  return {
    openapi: '3.1.0',
    info: {
      title: 'uipvs',
      version: uipvsVersion(),
      description: 'The control API of uipvsd, over its Unix socket.',
    },
    paths,
    components: { schemas: { ...commands, Error: ERROR_SCHEMA } },
  };
}

const ERROR_SCHEMA: Json = {
  type: 'object',
  required: ['error'],
  properties: {
    error: {
      type: 'object',
      required: ['code', 'message'],
      properties: { code: { enum: Object.keys(HTTP_STATUS) }, message: { type: 'string' } },
    },
  },
};

function describeRoute(route: RouteDescription): Json {
  const command = { oneOf: Object.keys(COMMANDS).map((name) => ({ $ref: `#/components/schemas/${name}` })) };
  const commands = { oneOf: [command, { type: 'array', maxItems: API_COMMANDS_MAX, items: command }] };
  const body = route.takesCommands ? commands : route.takes === undefined ? null : toJsonSchema(route.takes);
  const places = Object.entries(route.places ?? {}).map(([name, description]) => ({
    name,
    in: 'path',
    required: true,
    description,
    schema: { type: 'string' },
  }));
  return {
    summary: route.summary,
    parameters: [
      ...places,
      ...Object.entries(route.query ?? {}).map(([name, { type, description }]) => ({
        name,
        in: 'query',
        required: false,
        description,
        schema: { type },
      })),
    ],
    ...(body === null ? {} : { requestBody: { required: true, content: { 'application/json': { schema: body } } } }),
    responses: {
      200: { description: route.answer.description, content: { [route.answer.type]: {} } },
      default: {
        description: 'What was refused, and why',
        content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
      },
    },
  };
}

function describeCommand(name: CommandName): Json {
  const input = toJsonSchema(COMMAND_SHAPES[name]);
  return {
    ...input,
    description: COMMANDS[name].summary,
    required: ['name', ...(input['required'] as string[])],
    properties: { name: { const: name }, ...(input['properties'] as Json) },
  };
}

/** A shape as JSON Schema 2020-12, the dialect of OpenAPI 3.1. */
function toJsonSchema(shape: Shape): Json {
  switch (shape.kind) {
    case 'string':
      return shape.oneOf ? { enum: shape.oneOf } : { type: 'string', maxLength: shape.lengthMax };
    case 'integer':
      return { type: 'integer', minimum: shape.min, maximum: shape.max };
    case 'number':
      return { type: 'number' };
    case 'boolean':
      return { type: 'boolean' };
    case 'list':
      return { type: 'array', maxItems: shape.itemsMax, items: toJsonSchema(shape.of) };
    case 'nullable':
      return { anyOf: [{ type: 'null' }, toJsonSchema(shape.of)] };
    case 'either':
      return { oneOf: shape.options.map((option) => toJsonSchema(option.shape)) };
    case 'object':
      return {
        type: 'object',
        additionalProperties: false,
        required: Object.keys(shape.fields).filter((name) => shape.fields[name].required),
        properties: Object.fromEntries(
          Object.entries(shape.fields).map(([name, field]) => [name, toJsonSchema(field.shape)]),
        ),
      };
  }
}
