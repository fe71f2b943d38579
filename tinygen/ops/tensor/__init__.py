"""What Tensors are made from and do to themselves: conversion, devices, methods, operators, writing in place."""
