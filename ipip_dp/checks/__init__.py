"""Checks of param.json that need more than the schema: one module for each of its parts.

Every function takes the normalised param.json and yields one line per problem, the
key path first.
"""
