"""Around the Tensor itself: conversion of data, devices, methods, operators, writing in place."""
