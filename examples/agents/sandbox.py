"""Runs small Python programs that a model wrote: arithmetic, lists, loops and a few functions, nothing else.

The program is checked as a syntax tree against a list of what is allowed; it has no attributes, imports, definitions or
names with an underscore, so it reaches nothing that it was not given. Loops and calls cost steps, and steps run out;
products and lists stay below a size.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

STEPS = 20_000
LONGEST = 100_000
LARGEST = 1e100

_ALLOWED = (
    ast.Module, ast.Expr, ast.Assign, ast.AugAssign, ast.For, ast.If, ast.Name, ast.Load, ast.Store, ast.Constant,
    ast.Tuple, ast.List, ast.Dict, ast.Subscript, ast.Slice, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp,
    ast.Call, ast.operator, ast.unaryop, ast.boolop, ast.cmpop,
)  # fmt: skip
_FORBIDDEN = (ast.Pow, ast.LShift, ast.MatMult)
_CHECKED = {ast.Add: "add!", ast.Mult: "multiply!", ast.Mod: "modulo!"}


class NotAllowedError(ValueError):
    """The program uses something that the sandbox does not have, or too much of it."""


class _Checks(ast.NodeTransformer):
    """Puts a step into every pass of a loop, and what can grow through a function that looks at its size."""

    def visit_For(self, node: ast.For) -> ast.AST:
        self.generic_visit(node)
        node.body = [ast.Expr(_call("step!")), *node.body]
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.AST:
        if not isinstance(node.target, ast.Name):
            raise NotAllowedError("only names can be changed in place")
        value = ast.BinOp(ast.Name(node.target.id, ast.Load()), node.op, node.value)
        return ast.Assign([node.target], self.visit(value))

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        self.generic_visit(node)
        check = _CHECKED.get(type(node.op))
        return node if check is None else _call(check, node.left, node.right)


def _call(name: str, *args: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(args), [])


def _add(left: Any, right: Any) -> Any:
    if isinstance(left, str | list | tuple) and len(left) + len(right) > LONGEST:
        raise NotAllowedError(f"a sequence of more than {LONGEST} items")
    return left + right


def _multiply(left: Any, right: Any) -> Any:
    if not all(isinstance(value, int | float) for value in (left, right)):
        raise NotAllowedError("only numbers can be multiplied")
    if abs(left) > LARGEST or abs(right) > LARGEST:
        raise NotAllowedError(f"a number above {LARGEST:g}")
    return left * right


def _modulo(left: Any, right: Any) -> Any:
    # On text it is a formatter, and formats know widths.
    if not all(isinstance(value, int | float) for value in (left, right)):
        raise NotAllowedError("only numbers have a remainder")
    return left % right


def run(program: str, functions: Mapping[str, Callable[..., Any]]) -> Any:
    """Runs `program` and returns what it left in the variable `result`.

    Raises:
        NotAllowedError: The program is not in the language, or ran out of steps.
    """
    try:
        tree = ast.parse(program, mode="exec")
    except SyntaxError as error:
        raise NotAllowedError(f"not Python: {error.msg} in line {error.lineno}") from None
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED) or isinstance(node, _FORBIDDEN):
            raise NotAllowedError(f"{type(node).__name__} is not available here")
        if isinstance(node, ast.Name) and node.id.startswith("_"):
            raise NotAllowedError(f"the name {node.id} is not available here")
        if isinstance(node, ast.Call) and not isinstance(node.func, ast.Name):
            raise NotAllowedError("only functions can be called, by name")
    left = STEPS

    def step(cost: int = 1) -> None:
        nonlocal left
        left -= cost
        if left < 0:
            raise NotAllowedError(f"more than {STEPS} steps")

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            step(1 + sum(len(arg) // 100 for arg in args if isinstance(arg, list | range)))
            value = function(*args)
            if isinstance(value, list | range) and len(value) > LONGEST:
                raise NotAllowedError(f"a list of more than {LONGEST} items")
            return value

        return call

    names: dict[str, Any] = {name: counted(function) for name, function in functions.items()}
    names |= {"__builtins__": {}, "step!": step, "add!": _add, "multiply!": _multiply, "modulo!": _modulo}
    checked = ast.fix_missing_locations(_Checks().visit(tree))
    exec(compile(checked, "<program>", "exec"), names)
    if "result" not in names:
        raise NotAllowedError("the program left nothing in `result`")
    return names["result"]
