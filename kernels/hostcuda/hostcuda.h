// CUDA C++ on a CPU: everything a kernel file may use, for g++ instead of NVRTC.
//
//     g++ -include hostcuda.h kernel.cu machine.cpp          (kernels/hostcuda/build.py does it)
//
// The source is not changed.  A CUDA thread becomes a fiber: a function with its own stack.  One fiber runs at a time.
// A block is up to 1024 fibers; they take turns, and a fiber gives up its turn only where CUDA makes a thread wait: at a
// barrier, or at an instruction that the lanes of a warp execute together.  Blocks run one after another.
// This file defines the language; machine.cpp is the machine that runs it.
//
// Contents:  1 keywords · 2 vector types and built-in variables · 3 what the machine offers · 4 barriers
//            5 warps: shuffles, votes, reductions · 6 atomics · 7 arithmetic · 8 half and bfloat16
//            9 wrapped instructions: cp.async, ldmatrix, mma · 10 printf, assert · 11 how a kernel is called
#pragma once
#define HOSTCUDA 1
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <source_location>
#include <type_traits>
#include <utility>

// ---- 1 keywords ----------------------------------------------------------------------------------------------------
// Three words mean more than a macro can express: __global__ (a signature to read), __launch_bounds__ (a limit to check)
// and __shared__ (memory of the block, not of the thread).  build.py finds them in the preprocessed text and replaces
// them; `__shared__ float tile[16][17];` becomes
//     struct shared_1 { float tile[16][17]; };  auto &tile = hostcuda::shared_variable<shared_1>(...).tile;
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(n) __attribute__((aligned(n)))
#define __grid_constant__
#define __constant__ __attribute__((visibility("default"), used))  // Module.constant(name) finds it by its name

// Code of the machine itself: a checked build (memory_checks.cpp) checks the loads and stores of the kernel, not these.
#define HOSTCUDA_UNCHECKED __attribute__((no_sanitize("thread", "undefined")))

// ---- 2 vector types and built-in variables -------------------------------------------------------------------------
namespace hostcuda {
template <class T> struct Vector { using scalar = T; static constexpr int lanes = 1; };  // float4: float, 4
}
// Two or four elements are loaded and stored as one: their address must be a multiple of their total size.
#define HOSTCUDA_VECTORS(T, NAME)                                                                    \
    struct NAME##1 { T x; };                                                                         \
    struct alignas(2 * sizeof(T)) NAME##2 { T x, y; };                                               \
    struct NAME##3 { T x, y, z; };                                                                   \
    struct alignas(4 * sizeof(T) < 16 ? 4 * sizeof(T) : 16) NAME##4 { T x, y, z, w; };               \
    static inline NAME##1 make_##NAME##1(T x) { return {x}; }                                        \
    static inline NAME##2 make_##NAME##2(T x, T y) { return {x, y}; }                                \
    static inline NAME##3 make_##NAME##3(T x, T y, T z) { return {x, y, z}; }                        \
    static inline NAME##4 make_##NAME##4(T x, T y, T z, T w) { return {x, y, z, w}; }                \
    template <> struct hostcuda::Vector<NAME##1> { using scalar = T; static constexpr int lanes = 1; }; \
    template <> struct hostcuda::Vector<NAME##2> { using scalar = T; static constexpr int lanes = 2; }; \
    template <> struct hostcuda::Vector<NAME##3> { using scalar = T; static constexpr int lanes = 3; }; \
    template <> struct hostcuda::Vector<NAME##4> { using scalar = T; static constexpr int lanes = 4; };
HOSTCUDA_VECTORS(signed char, char)
HOSTCUDA_VECTORS(unsigned char, uchar)
HOSTCUDA_VECTORS(short, short)
HOSTCUDA_VECTORS(unsigned short, ushort)
HOSTCUDA_VECTORS(int, int)
HOSTCUDA_VECTORS(unsigned, uint)
HOSTCUDA_VECTORS(long long, longlong)
HOSTCUDA_VECTORS(unsigned long long, ulonglong)
HOSTCUDA_VECTORS(float, float)
HOSTCUDA_VECTORS(double, double)

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

extern uint3 threadIdx, blockIdx;  // of the running fiber: the machine sets them at each switch
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

// ---- 3 what the machine offers -------------------------------------------------------------------------------------
namespace hostcuda {

using Place = std::source_location;   // where in the kernel's source: as a default argument, the caller's file and line
#define HOSTCUDA_HERE hostcuda::Place here = hostcuda::Place::current()

const char *base_name(Place place);   // of its file, without the folders

// Stop the launch: this thread made a mistake that a GPU may not survive, or asked to stop.  Becomes a KernelError in Python.
[[noreturn]] void fail(const char *kind, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Wait for every thread of the block that has not returned.  Returns how many came, and how many with a true predicate.
struct Votes { int count, present; };
Votes block_barrier(const char *instruction, bool predicate, Place where);

// One instruction of a whole warp.  Each lane brings its operands; when the last of `mask` has arrived, `execute` runs
// once for all of them, as in a warp, and each lane receives its result.
struct Warp {
    struct alignas(16) Bytes { unsigned char data[32]; };
    uint32_t lanes;                   // the lanes that take part: those of the mask that have not returned
    Bytes operand[32], result[32];
    template <class T> T &in(int lane) { return *reinterpret_cast<T *>(operand[lane].data); }
    template <class T> T &out(int lane) { return *reinterpret_cast<T *>(result[lane].data); }
};
const void *warp_instruction(const char *instruction, uint32_t mask, void (*execute)(Warp &), const void *operand,
                             size_t bytes, Place where);
int lane_id();
uint32_t live_lanes();                // lanes of this warp that have not returned

template <class Result, class Operand>
HOSTCUDA_UNCHECKED static inline Result together(const char *instruction, uint32_t mask, void (*execute)(Warp &),
                                                 const Operand &operand, Place where) {
    static_assert(sizeof(Operand) <= sizeof(Warp::Bytes) && sizeof(Result) <= sizeof(Warp::Bytes), "too wide");
    Result result;
    memcpy(&result, warp_instruction(instruction, mask, execute, &operand, sizeof operand, where), sizeof result);
    return result;
}

// Shared memory.  A SharedVariable stands for one declaration in the source; the first thread that reaches it gives it a
// place in the block's memory, which holds for all threads of the launch.
struct SharedVariable {
    const char *names;                // "tile_a, tile_b"
    size_t size, alignment;
    char *address;
    unsigned long launch;             // the launch that `address` belongs to
};
extern unsigned long launch_number;
char *place_shared_variable(SharedVariable &variable);
template <class S>
HOSTCUDA_UNCHECKED static inline S &shared_variable(SharedVariable &variable) {
    if (variable.launch != launch_number) place_shared_variable(variable);
    return *reinterpret_cast<S *>(variable.address);
}
char *dynamic_shared_memory();        // `extern __shared__`: the bytes that the launch asked for

// For accesses that the compiler does not see as loads and stores of the kernel: atomics, cp.async, ldmatrix.
enum Access { READ = 0, WRITE = 1, ATOMIC = 2 };
#ifdef HOSTCUDA_CHECKED
void check_access(const void *address, size_t bytes, Access access);
void fence();
#else
static inline void check_access(const void *, size_t, Access) {}
static inline void fence() {}
#endif

}  // namespace hostcuda

// ---- 4 barriers ----------------------------------------------------------------------------------------------------
static inline void __syncthreads(HOSTCUDA_HERE) { hostcuda::block_barrier("__syncthreads", false, here); }
static inline int __syncthreads_count(int predicate, HOSTCUDA_HERE) {
    return hostcuda::block_barrier("__syncthreads_count", predicate, here).count;
}
static inline int __syncthreads_or(int predicate, HOSTCUDA_HERE) {
    return hostcuda::block_barrier("__syncthreads_or", predicate, here).count > 0;
}
static inline int __syncthreads_and(int predicate, HOSTCUDA_HERE) {
    hostcuda::Votes votes = hostcuda::block_barrier("__syncthreads_and", predicate, here);
    return votes.count == votes.present;
}
static inline void __syncwarp(uint32_t mask = 0xffffffffu, HOSTCUDA_HERE) {
    hostcuda::warp_instruction("__syncwarp", mask, [](hostcuda::Warp &) {}, nullptr, 0, here);
}
// One fiber runs at a time and memory is coherent, so fences have nothing to do.
static inline void __threadfence() { hostcuda::fence(); }
static inline void __threadfence_system() { hostcuda::fence(); }
static inline void __threadfence_block() {}

// ---- 5 warps: shuffles, votes, reductions --------------------------------------------------------------------------
namespace hostcuda {

struct Shuffle { uint64_t value; int source; };

// Each lane gets the value of its source lane.  If that lane does not take part, the result is all ones (NaN).
HOSTCUDA_UNCHECKED static inline void shuffle_lanes(Warp &warp) {
    for (int lane = 0; lane < 32; lane++) {
        int source = warp.in<Shuffle>(lane).source;
        bool there = warp.lanes >> (source & 31) & 1;
        if (warp.lanes >> lane & 1) warp.out<uint64_t>(lane) = there ? warp.in<Shuffle>(source).value : ~0ull;
    }
}

template <class T>
HOSTCUDA_UNCHECKED static inline T shuffle(const char *instruction, uint32_t mask, T value, int source, Place where) {
    static_assert(sizeof(T) <= 8, "a shuffle moves up to 8 bytes");
    Shuffle operand = {0, source};
    memcpy(&operand.value, &value, sizeof value);
    return together<T>(instruction, mask, shuffle_lanes, operand, where);
}

// A warp is split into segments of `width` lanes (a power of two), and a lane reads only within its own segment.
static inline int segment(int width) {
    if (width < 1 || width > 32 || (width & (width - 1))) fail("bad shuffle", "width %d is not 1, 2, 4, 8, 16 or 32", width);
    return lane_id() & ~(width - 1);
}

}  // namespace hostcuda

template <class T> static inline T __shfl_sync(uint32_t mask, T value, int lane, int width = 32, HOSTCUDA_HERE) {
    return hostcuda::shuffle("__shfl_sync", mask, value, hostcuda::segment(width) + (lane & (width - 1)), here);
}
template <class T> static inline T __shfl_up_sync(uint32_t mask, T value, unsigned delta, int width = 32, HOSTCUDA_HERE) {
    int me = hostcuda::lane_id(), source = me - int(delta);
    return hostcuda::shuffle("__shfl_up_sync", mask, value, source < hostcuda::segment(width) ? me : source, here);
}
template <class T> static inline T __shfl_down_sync(uint32_t mask, T value, unsigned delta, int width = 32, HOSTCUDA_HERE) {
    int me = hostcuda::lane_id(), source = me + int(delta);
    return hostcuda::shuffle("__shfl_down_sync", mask, value, source >= hostcuda::segment(width) + width ? me : source, here);
}
template <class T> static inline T __shfl_xor_sync(uint32_t mask, T value, int bits, int width = 32, HOSTCUDA_HERE) {
    int me = hostcuda::lane_id(), source = me ^ bits;
    return hostcuda::shuffle("__shfl_xor_sync", mask, value, source >= hostcuda::segment(width) + width ? me : source, here);
}

namespace hostcuda {
HOSTCUDA_UNCHECKED static inline void ballot_lanes(Warp &warp) {
    uint32_t votes = 0;
    for (int lane = 0; lane < 32; lane++)
        if (warp.lanes >> lane & 1) votes |= uint32_t(warp.in<int>(lane) != 0) << lane;
    for (int lane = 0; lane < 32; lane++) warp.out<uint2>(lane) = {votes, warp.lanes};
}
}  // namespace hostcuda

static inline uint32_t __ballot_sync(uint32_t mask, int predicate, HOSTCUDA_HERE) {
    return hostcuda::together<uint2>("__ballot_sync", mask, hostcuda::ballot_lanes, predicate, here).x;
}
static inline int __any_sync(uint32_t mask, int predicate, HOSTCUDA_HERE) {
    return hostcuda::together<uint2>("__any_sync", mask, hostcuda::ballot_lanes, predicate, here).x != 0;
}
static inline int __all_sync(uint32_t mask, int predicate, HOSTCUDA_HERE) {
    uint2 votes = hostcuda::together<uint2>("__all_sync", mask, hostcuda::ballot_lanes, predicate, here);
    return votes.x == votes.y;
}
// On a GPU: the lanes that happen to run together.  Here one lane runs at a time, so the result is all live lanes.
static inline uint32_t __activemask() { return hostcuda::live_lanes(); }

namespace hostcuda {
// result of every lane = operand of all lanes combined
template <class T, class Combine> HOSTCUDA_UNCHECKED static void reduce_lanes(Warp &warp) {
    T total{};
    bool first = true;
    for (int lane = 0; lane < 32; lane++)
        if (warp.lanes >> lane & 1) {
            total = first ? warp.in<T>(lane) : Combine()(total, warp.in<T>(lane));
            first = false;
        }
    for (int lane = 0; lane < 32; lane++) warp.out<T>(lane) = total;
}
}  // namespace hostcuda
#define HOSTCUDA_REDUCE(NAME, EXPRESSION)                                                                             \
    namespace hostcuda { struct NAME { template <class T> T operator()(T a, T b) const { return EXPRESSION; } }; }    \
    template <class T> static inline T NAME(uint32_t mask, T value, HOSTCUDA_HERE) {                                  \
        static_assert(std::is_integral<T>::value && sizeof(T) == 4, "int or unsigned");                               \
        return hostcuda::together<T>(#NAME, mask, hostcuda::reduce_lanes<T, hostcuda::NAME>, value, here);            \
    }
HOSTCUDA_REDUCE(__reduce_add_sync, T(uint32_t(a) + uint32_t(b)))
HOSTCUDA_REDUCE(__reduce_min_sync, b < a ? b : a)
HOSTCUDA_REDUCE(__reduce_max_sync, b > a ? b : a)
HOSTCUDA_REDUCE(__reduce_and_sync, a & b)
HOSTCUDA_REDUCE(__reduce_or_sync, a | b)
HOSTCUDA_REDUCE(__reduce_xor_sync, a ^ b)

namespace hostcuda {
// For each lane the mask of the lanes that brought the same 8 bytes.
HOSTCUDA_UNCHECKED static inline void match_lanes(Warp &warp) {
    for (int lane = 0; lane < 32; lane++) {
        uint32_t same = 0;
        for (int other = 0; other < 32; other++)
            if (warp.lanes >> other & 1) same |= uint32_t(warp.in<uint64_t>(other) == warp.in<uint64_t>(lane)) << other;
        warp.out<uint2>(lane) = {same, warp.lanes};
    }
}
template <class T> HOSTCUDA_UNCHECKED static inline uint2 match(const char *name, uint32_t mask, T value, Place where) {
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    return together<uint2>(name, mask, match_lanes, bits, where);
}
}  // namespace hostcuda
template <class T> static inline uint32_t __match_any_sync(uint32_t mask, T value, HOSTCUDA_HERE) {
    return hostcuda::match("__match_any_sync", mask, value, here).x;
}
template <class T> static inline uint32_t __match_all_sync(uint32_t mask, T value, int *all, HOSTCUDA_HERE) {
    uint2 same = hostcuda::match("__match_all_sync", mask, value, here);
    *all = same.x == same.y;
    return *all ? same.x : 0;
}

// ---- 6 atomics -----------------------------------------------------------------------------------------------------
// No thread runs between the load and the store, so plain code is atomic.  Each returns the old value.
// They exist for the types that CUDA supports: addition and exchange also for floats, the others for integers only.
namespace hostcuda {
template <class T> constexpr bool integer = std::is_integral<T>::value && (sizeof(T) == 4 || sizeof(T) == 8);
template <class T> constexpr bool number = integer<T> || std::is_same<T, float>::value || std::is_same<T, double>::value;
template <class T> constexpr bool unsigned_int = std::is_same<T, unsigned>::value;
}  // namespace hostcuda
#define HOSTCUDA_ATOMIC(NAME, TYPES, NEW_VALUE)                                                             \
    template <class T>                                                                                      \
    HOSTCUDA_UNCHECKED static inline T NAME(T *address, typename std::common_type<T>::type value) {         \
        static_assert(hostcuda::TYPES<T>, #NAME " does not exist in CUDA for this type");                   \
        hostcuda::check_access(address, sizeof(T), hostcuda::ATOMIC);                                       \
        T old = *address;                                                                                   \
        *address = NEW_VALUE;                                                                               \
        return old;                                                                                         \
    }                                                                                                       \
    template <class T> static inline T NAME##_block(T *address, typename std::common_type<T>::type value) { \
        return NAME(address, value);                                                                        \
    }
HOSTCUDA_ATOMIC(atomicAdd, number, old + value)
HOSTCUDA_ATOMIC(atomicExch, number, value)
HOSTCUDA_ATOMIC(atomicSub, integer, old - value)
HOSTCUDA_ATOMIC(atomicMin, integer, value < old ? value : old)
HOSTCUDA_ATOMIC(atomicMax, integer, value > old ? value : old)
HOSTCUDA_ATOMIC(atomicAnd, integer, old & value)
HOSTCUDA_ATOMIC(atomicOr, integer, old | value)
HOSTCUDA_ATOMIC(atomicXor, integer, old ^ value)
HOSTCUDA_ATOMIC(atomicInc, unsigned_int, old >= value ? T(0) : T(old + 1))
HOSTCUDA_ATOMIC(atomicDec, unsigned_int, old == 0 || old > value ? value : T(old - 1))
template <class T>
HOSTCUDA_UNCHECKED static inline T atomicCAS(T *address, typename std::common_type<T>::type compare,
                                             typename std::common_type<T>::type value) {
    static_assert(hostcuda::integer<T> || std::is_same<T, unsigned short>::value, "atomicCAS takes integers");
    hostcuda::check_access(address, sizeof(T), hostcuda::ATOMIC);
    T old = *address;
    if (old == compare) *address = value;
    return old;
}

// ---- 7 arithmetic --------------------------------------------------------------------------------------------------
namespace hostcuda {
template <class To, class From> HOSTCUDA_UNCHECKED static inline To bits_as(From value) {
    static_assert(sizeof(To) == sizeof(From), "the same number of bits");
    To result;
    memcpy(&result, &value, sizeof value);
    return result;
}
// Hide the value from the compiler, so that __fmul_rn(a, b) + c never becomes a fused multiply-add.
static inline float rounded(float value) {
#if defined(__x86_64__)
    asm("" : "+x"(value));
#elif defined(__aarch64__)
    asm("" : "+w"(value));
#endif
    return value;
}
}  // namespace hostcuda

template <class A, class B> constexpr typename std::common_type<A, B>::type min(A a, B b) {
    return static_cast<typename std::common_type<A, B>::type>(b) < static_cast<typename std::common_type<A, B>::type>(a) ? b : a;
}
template <class A, class B> constexpr typename std::common_type<A, B>::type max(A a, B b) {
    return static_cast<typename std::common_type<A, B>::type>(a) < static_cast<typename std::common_type<A, B>::type>(b) ? b : a;
}

// Loads and stores with a cache hint.
template <class T> static inline T __ldg(const T *address) { return *address; }
template <class T> static inline T __ldcg(const T *address) { return *address; }
template <class T> static inline T __ldcs(const T *address) { return *address; }
template <class T> static inline void __stcg(T *address, T value) { *address = value; }
template <class T> static inline void __stcs(T *address, T value) { *address = value; }

// Fast-math intrinsics are the accurate functions here, so a result may differ from a GPU's in its last bits.
// (Macros: glibc's own header declares functions of these names.)
#define __expf(x) expf(x)
#define __exp10f(x) powf(10.f, x)
#define __logf(x) logf(x)
#define __log2f(x) log2f(x)
#define __log10f(x) log10f(x)
#define __powf(x, y) powf(x, y)
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)
#define __tanf(x) tanf(x)
#define __sincosf(x, s, c) (*(s) = sinf(x), *(c) = cosf(x))
static inline float __fdividef(float a, float b) { return a / b; }
static inline float fdividef(float a, float b) { return a / b; }
static inline float __saturatef(float x) { return x > 0.f ? (x < 1.f ? x : 1.f) : 0.f; }
static inline float rsqrtf(float x) { return 1.f / sqrtf(x); }
static inline double rsqrt(double x) { return 1. / sqrt(x); }
static inline float sinpif(float x) { return float(sin(M_PI * fmod(double(x), 2.))); }
static inline float cospif(float x) { return float(cos(M_PI * fmod(double(x), 2.))); }
static inline void sincospif(float x, float *s, float *c) { *s = sinpif(x), *c = cospif(x); }
static inline float normcdff(float x) { return 0.5f * erfcf(-x * 0.70710678f); }

// One rounding, to nearest, and no contraction.
static inline float __fadd_rn(float a, float b) { return hostcuda::rounded(a + b); }
static inline float __fsub_rn(float a, float b) { return hostcuda::rounded(a - b); }
static inline float __fmul_rn(float a, float b) { return hostcuda::rounded(hostcuda::rounded(a) * b); }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fsqrt_rn(float a) { return sqrtf(a); }
static inline float __frcp_rn(float a) { return 1.f / a; }
static inline float __frsqrt_rn(float a) { return float(1. / sqrt(double(a))); }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }

static inline int __float_as_int(float x) { return hostcuda::bits_as<int>(x); }
static inline unsigned __float_as_uint(float x) { return hostcuda::bits_as<unsigned>(x); }
static inline float __int_as_float(int x) { return hostcuda::bits_as<float>(x); }
static inline float __uint_as_float(unsigned x) { return hostcuda::bits_as<float>(x); }
static inline long long __double_as_longlong(double x) { return hostcuda::bits_as<long long>(x); }
static inline double __longlong_as_double(long long x) { return hostcuda::bits_as<double>(x); }

// Conversions with a rounding mode; a value out of range becomes the nearest limit, as on a GPU (NaN becomes 0).
namespace hostcuda {
template <class I> static inline I to_integer(double x, double low, double high) {
    return x != x ? I(0) : x <= low ? I(low) : x >= high ? I(high) : I(x);
}
static inline int to_int(double x) { return to_integer<int>(x, -2147483648., 2147483647.); }
static inline unsigned to_uint(double x) { return to_integer<unsigned>(x, 0., 4294967295.); }
}  // namespace hostcuda
static inline int __float2int_rn(float x) { return hostcuda::to_int(nearbyint(x)); }
static inline int __float2int_rz(float x) { return hostcuda::to_int(trunc(x)); }
static inline int __float2int_ru(float x) { return hostcuda::to_int(ceil(x)); }
static inline int __float2int_rd(float x) { return hostcuda::to_int(floor(x)); }
static inline unsigned __float2uint_rn(float x) { return hostcuda::to_uint(nearbyint(x)); }
static inline unsigned __float2uint_rz(float x) { return hostcuda::to_uint(trunc(x)); }
static inline float __int2float_rn(int x) { return float(x); }
static inline float __uint2float_rn(unsigned x) { return float(x); }

// Bits.
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __ffsll(long long x) { return __builtin_ffsll(x); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((uint64_t(a) * b) >> 32); }
static inline int __mulhi(int a, int b) { return int((int64_t(a) * b) >> 32); }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}
static inline int __mul24(int a, int b) { return int((int64_t(a << 8) >> 8) * (int64_t(b << 8) >> 8)); }
static inline unsigned __umul24(unsigned a, unsigned b) { return (a & 0xffffffu) * (b & 0xffffffu); }
static inline unsigned __brev(unsigned x) {
    unsigned result = 0;
    for (int bit = 0; bit < 32; bit++) result |= (x >> bit & 1u) << (31 - bit);
    return result;
}
static inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
    return unsigned(((uint64_t(high) << 32 | low) << (shift & 31)) >> 32);
}
static inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
    return unsigned((uint64_t(high) << 32 | low) >> (shift & 31));
}
static inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
    uint64_t bytes = uint64_t(y) << 32 | x;
    unsigned result = 0;
    for (int i = 0; i < 4; i++) {
        unsigned choice = selector >> (4 * i) & 15, byte = unsigned(bytes >> (8 * (choice & 7))) & 255;
        if (choice & 8) byte = byte & 128 ? 255 : 0;  // the top bit of a choice: spread the byte's sign
        result |= byte << (8 * i);
    }
    return result;
}
static inline long long clock64() { return 0; }  // time is not modelled: a CPU's says nothing about a GPU's
static inline void __nanosleep(unsigned) {}

// ---- 8 half and bfloat16 -------------------------------------------------------------------------------------------
// Stored in 16 bits, computed in float32 and rounded to nearest, ties to even.
namespace hostcuda {
static inline uint16_t bfloat16_bits(float x) {       // the upper half of a float32
    uint32_t u = bits_as<uint32_t>(x);
    if (x != x) return 0x7fff;
    return uint16_t((u + 0x7fffu + (u >> 16 & 1u)) >> 16);
}
static inline float bfloat16_value(uint16_t bits) { return bits_as<float>(uint32_t(bits) << 16); }

static inline uint16_t half_bits(float x) {           // 1 sign, 5 exponent (bias 15), 10 fraction
    uint32_t u = bits_as<uint32_t>(x), sign = u >> 16 & 0x8000u;
    u &= 0x7fffffffu;
    if (u > 0x7f800000u) return 0x7fff;                                     // NaN
    if (u >= 0x477ff000u) return uint16_t(sign | 0x7c00u);                  // rounds past 65504: infinity
    if (u < 0x38800000u)                                                    // below 2^-14: steps of 2^-24
        return uint16_t(sign | uint32_t(nearbyintf(bits_as<float>(u) * 16777216.f)));
    u += 0xfffu + (u >> 13 & 1u);
    return uint16_t(sign | ((u - 0x38000000u) >> 13));                      // 0x38000000: 127 - 15 as an exponent
}
static inline float half_value(uint16_t bits) {
    uint32_t sign = uint32_t(bits & 0x8000u) << 16, exponent = bits >> 10 & 31u, fraction = bits & 0x3ffu;
    if (exponent == 0) return bits_as<float>(bits_as<uint32_t>(float(fraction) / 16777216.f) | sign);
    return bits_as<float>(sign | (exponent == 31 ? 0x7f800000u : (exponent + 112u) << 23) | fraction << 13);
}
}  // namespace hostcuda

#define HOSTCUDA_16_BIT_FLOAT(T, T2, NAME, TO_BITS, TO_VALUE)                                        \
    struct T {                                                                                       \
        uint16_t bits;                                                                               \
        T() = default;                                                                               \
        T(float x) : bits(hostcuda::TO_BITS(x)) {}                                                   \
        operator float() const { return hostcuda::TO_VALUE(bits); }                                  \
        T &operator+=(T o) { return *this = T(float(*this) + float(o)); }                            \
        T &operator-=(T o) { return *this = T(float(*this) - float(o)); }                            \
        T &operator*=(T o) { return *this = T(float(*this) * float(o)); }                            \
        T &operator/=(T o) { return *this = T(float(*this) / float(o)); }                            \
    };                                                                                               \
    struct alignas(4) T2 { T x, y; };                                                                \
    static inline T operator+(T a, T b) { return T(float(a) + float(b)); }                           \
    static inline T operator-(T a, T b) { return T(float(a) - float(b)); }                           \
    static inline T operator*(T a, T b) { return T(float(a) * float(b)); }                           \
    static inline T operator/(T a, T b) { return T(float(a) / float(b)); }                           \
    static inline float NAME##2float(T x) { return float(x); }                                       \
    static inline float2 NAME##22float2(T2 v) { return {float(v.x), float(v.y)}; }                   \
    static inline float __low2float(T2 v) { return float(v.x); }                                     \
    static inline float __high2float(T2 v) { return float(v.y); }                                    \
    template <> struct hostcuda::Vector<T2> { using scalar = T; static constexpr int lanes = 2; };
HOSTCUDA_16_BIT_FLOAT(__nv_bfloat16, __nv_bfloat162, __bfloat16, bfloat16_bits, bfloat16_value)
HOSTCUDA_16_BIT_FLOAT(__half, __half2, __half, half_bits, half_value)
static inline __nv_bfloat16 __float2bfloat16(float x) { return __nv_bfloat16(x); }
static inline __nv_bfloat16 __float2bfloat16_rn(float x) { return __nv_bfloat16(x); }
static inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) { return {__nv_bfloat16(x), __nv_bfloat16(y)}; }
static inline __half __float2half(float x) { return __half(x); }
static inline __half __float2half_rn(float x) { return __half(x); }
static inline __half2 __floats2half2_rn(float x, float y) { return {__half(x), __half(y)}; }

// ---- 9 wrapped instructions: cp.async, ldmatrix, mma ---------------------------------------------------------------
// The GPU's versions are PTX, in kernels/runtime/include/tensor_core.cuh, under the same names.

namespace hostcuda {
void copy_later(void *shared, const void *global, size_t bytes);
void close_copy_group();
void finish_copies(int groups_that_may_stay_open);

// operands of one lane in mma.m16n8k16 (PTX ISA, "Matrix fragments for mma.m16n8k16"): lane = 4 * group + member
struct MmaOperand { uint32_t a[4], b[2]; };

// d += a b for a (16, 16) and b (16, 8): gather both matrices from the lanes' registers, multiply, scatter the result
template <class T> HOSTCUDA_UNCHECKED static void mma_lanes(Warp &warp) {
    static float a[16][16], b[16][8];
    if (warp.lanes != 0xffffffffu) fail("bad mma", "mma needs all 32 lanes of the warp");
    for (int lane = 0; lane < 32; lane++) {
        int group = lane / 4, member = lane % 4;
        const MmaOperand &operand = warp.in<MmaOperand>(lane);
        for (int i = 0; i < 8; i++) {                       // a[i / 2] holds two neighbours in a row
            T pair[2];
            memcpy(pair, &operand.a[i / 2], 4);
            a[group + 8 * (i / 2 % 2)][2 * member + i % 2 + 8 * (i / 4)] = float(pair[i % 2]);
        }
        for (int i = 0; i < 4; i++) {                       // b[i / 2] holds two neighbours in a column
            T pair[2];
            memcpy(pair, &operand.b[i / 2], 4);
            b[2 * member + i % 2 + 8 * (i / 2)][group] = float(pair[i % 2]);
        }
    }
    for (int lane = 0; lane < 32; lane++)
        for (int i = 0; i < 4; i++) {
            int row = lane / 4 + 8 * (i / 2), column = lane % 4 * 2 + i % 2;
            float sum = 0.f;
            for (int k = 0; k < 16; k++) sum += a[row][k] * b[k][column];
            warp.out<float4>(lane) = warp.out<float4>(lane);
            (&warp.out<float4>(lane).x)[i] = sum;
        }
}
template <class T>
HOSTCUDA_UNCHECKED static inline void mma(const char *name, float d[4], const uint32_t a[4], const uint32_t b[2], Place where) {
    MmaOperand operand = {{a[0], a[1], a[2], a[3]}, {b[0], b[1]}};
    float4 sum = together<float4>(name, 0xffffffffu, mma_lanes<T>, operand, where);
    d[0] += sum.x, d[1] += sum.y, d[2] += sum.z, d[3] += sum.w;
}

// Lane l passes the address of a 16-byte row, one of rows 0-7 of matrix l / 8.  Result i of a lane is its pair from matrix i.
template <bool TRANSPOSED> HOSTCUDA_UNCHECKED static void ldmatrix_lanes(Warp &warp) {
    if (warp.lanes != 0xffffffffu) fail("bad ldmatrix", "ldmatrix needs all 32 lanes of the warp");
    for (int lane = 0; lane < 32; lane++)
        for (int matrix = 0; matrix < 4; matrix++) {
            uint16_t pair[2];
            for (int j = 0; j < 2; j++) {
                int row = lane / 4, column = lane % 4 * 2 + j;
                if (TRANSPOSED) row = lane % 4 * 2 + j, column = lane / 4;
                pair[j] = warp.in<const uint16_t *>(8 * matrix + row)[column];
            }
            memcpy(warp.out<uint32_t[4]>(lane) + matrix, pair, 4);
        }
}
}  // namespace hostcuda

// mma.sync.aligned.m16n8k16.row.col.f32.{bf16,f16}
static inline void mma_m16n8k16_bf16(float d[4], const uint32_t a[4], const uint32_t b[2], HOSTCUDA_HERE) {
    hostcuda::mma<__nv_bfloat16>("mma_m16n8k16_bf16", d, a, b, here);
}
static inline void mma_m16n8k16_f16(float d[4], const uint32_t a[4], const uint32_t b[2], HOSTCUDA_HERE) {
    hostcuda::mma<__half>("mma_m16n8k16_f16", d, a, b, here);
}
// ldmatrix.sync.aligned.m8n8.x4[.trans].shared.b16
template <bool TRANSPOSED> static inline void ldmatrix_x4(uint32_t r[4], const void *row, HOSTCUDA_HERE) {
    if (reinterpret_cast<uintptr_t>(row) % 16) hostcuda::fail("misaligned", "ldmatrix: the row's address is no multiple of 16");
    hostcuda::check_access(row, 16, hostcuda::READ);
    uint4 pairs = hostcuda::together<uint4>("ldmatrix_x4", 0xffffffffu, hostcuda::ldmatrix_lanes<TRANSPOSED>, row, here);
    r[0] = pairs.x, r[1] = pairs.y, r[2] = pairs.z, r[3] = pairs.w;
}
// cp.async: the bytes arrive only at the matching wait, so that a missing wait shows.
static inline void cp_async16(void *shared, const void *global) {
    if ((reinterpret_cast<uintptr_t>(shared) | reinterpret_cast<uintptr_t>(global)) % 16)
        hostcuda::fail("misaligned", "cp_async16: an address is no multiple of 16");
    hostcuda::check_access(global, 16, hostcuda::READ);
    hostcuda::copy_later(shared, global, 16);
}
static inline void cp_async_commit() { hostcuda::close_copy_group(); }
template <int N> static inline void cp_async_wait() { hostcuda::finish_copies(N); }

// ---- 10 printf, assert ---------------------------------------------------------------------------------------------
// printf is the C library's: lines appear in the order in which the fibers run.
#undef assert
#define assert(condition) ((condition) ? (void)0 : hostcuda::assertion(#condition))
namespace hostcuda {
[[noreturn]] static inline void assertion(const char *text, HOSTCUDA_HERE) {
    fail("assertion", "assertion failed: %s (%s:%u)", text, base_name(here), here.line());
}
}  // namespace hostcuda
[[noreturn]] static inline void __trap(HOSTCUDA_HERE) { hostcuda::fail("trap", "__trap() (%s:%u)", hostcuda::base_name(here), here.line()); }

// ---- 11 how a kernel is called -------------------------------------------------------------------------------------
namespace hostcuda {

// The type of a parameter, for Python, which checks the arguments before anything runs.
struct Parameter {
    char kind;                        // f float, i signed, u unsigned, b bool, B bfloat16, V a struct or void
    unsigned char pointer, is_const;
    unsigned short lanes;             // float4: 4
    unsigned size;                    // bytes of the value, or of what the pointer points to
};
struct Kernel {
    const char *name;
    void (*call)(void **arguments);   // addresses of the arguments
    int launch_bound, count;
    const Parameter *parameters;
};

template <class T> constexpr char kind_of() {
    return std::is_same<T, bool>::value ? 'b' : std::is_floating_point<T>::value || std::is_same<T, __half>::value ? 'f'
         : std::is_same<T, __nv_bfloat16>::value ? 'B' : !std::is_integral<T>::value ? 'V'
         : std::is_signed<T>::value ? 'i' : 'u';
}
template <class T> constexpr unsigned size_of() { return sizeof(T); }
template <> constexpr unsigned size_of<void>() { return 1; }
template <class T> constexpr Parameter parameter() {
    using Value = typename std::remove_pointer<T>::type;
    using Plain = typename std::remove_cv<Value>::type;
    return {kind_of<typename Vector<Plain>::scalar>(), std::is_pointer<T>::value, std::is_const<Value>::value,
            static_cast<unsigned short>(Vector<Plain>::lanes), size_of<Plain>()};
}

template <auto kernel> struct Entry;
template <class... A, void (*kernel)(A...)> struct Entry<kernel> {
    static constexpr int count = sizeof...(A);
    static constexpr Parameter parameters[sizeof...(A) + 1] = {parameter<A>()..., {}};
    template <size_t... I>
    HOSTCUDA_UNCHECKED static void apply(void **a, std::integer_sequence<size_t, I...>) {
        kernel(*static_cast<typename std::remove_reference<A>::type *>(a[I])...);
    }
    HOSTCUDA_UNCHECKED static void call(void **arguments) { apply(arguments, std::make_integer_sequence<size_t, sizeof...(A)>()); }
};

// build.py appends `extern "C" const hostcuda::Kernel hostcuda_kernel_NAME = hostcuda::describe<&NAME>("NAME", BOUND);`
template <auto kernel> constexpr Kernel describe(const char *name, int launch_bound) {
    return {name, Entry<kernel>::call, launch_bound, Entry<kernel>::count, Entry<kernel>::parameters};
}

}  // namespace hostcuda
