"""The rules of TechPass and SEED, pure: standard library only, time is an argument.

Each function names the rule of ``docs/rules.md`` that it carries out.
"""
