/* The horizon: one site, one address, two holders (subscribers), N edges that follow its log.

   Time is relative: every variable that says "how long still" counts down, so the states are few.
   One tick of Clock is one tick of real time; an edge's clock may miss one tick in D + 1 (rho).
   Nobody is ever hurried: a message that nobody reads is a partition, an edge that nobody hears is
   silent. README.md says what is left out; `run` has the variants. Each WRONG_x takes a rule away. */

#ifndef N
#define N 1             /* edges: with 2, the second is a spare, or a clone of the first */
#endif
#ifndef D
#define D 3             /* H (1 - rho), by the edge's clock */
#endif
#ifndef L
#define L 2
#endif
#ifndef K
#define K 2             /* log entries that an edge may be behind before it has a gap */
#endif
#ifndef U
#define U 2             /* commands of an edge that may wait */
#endif
#ifndef W
#define W 0             /* how long a deposed writer is heard */
#endif
#define Q 1             /* also by how much a client's count may be late */
#ifndef REFS
#define REFS 3          /* seqs of ends; the lowest that nobody remembers is used again */
#endif
#define NOBODY 2
#if defined(DRIFT) && !defined(WRONG_RHO)
#define H (D + 1)       /* the allocator's H: how long D ticks of a slow clock may last */
#else
#define H D
#endif

#define max(a, b) ((a) > (b) -> (a) : (b))
#define min(a, b) ((a) < (b) -> (a) : (b))
#define less(a) a = max(a, 1) - 1

mtype = { Granted, Assigned, Ended, Acked, Epoch, Heartbeat, Ack };
chan down[N] = [K] of { mtype, byte, byte };            /* the log: kind, holder or life, ref */
chan up[N] = [U] of { mtype, byte, byte, byte, byte };  /* kind, life, holder, ref, remaining */

byte P[2];                      /* until when each client believes that the address is its own */

/* Edges. Entry 2 e + h is what edge e knows of holder h. */
byte E[N], sent[N];             /* sent: what a grant for the heartbeat under way is worth */
byte steady[N];                 /* ticks until its clock may miss one again */
bit gap[N] = 1;                 /* at first an edge knows nothing of the log */
bit reborn;                     /* edge 0 lost its tables */
bit has[2 * N];
byte judged[2 * N];             /* the answer to a packet that found the entry, on its way out */
byte p[2 * N];                  /* the promise, by the edge's clock */
byte owed[2 * N];               /* 1 + ref of a removal to acknowledge */
#define LIFE(e) (N == 2 -> e : reborn)

/* The allocator. */
byte A;                         /* with Q added */
byte holder, removed = NOBODY, ref, rest;   /* rest: quarantine of `removed` */
byte former;                    /* what promises of the former life may still last */
byte alive;                     /* the life that has the horizon */
bit acked, of_former;           /* of_former: the binding is older than the life */
bit took_over;
byte recovering, deposed, deposed_may;

byte i, j, a, b, r, life;        /* scratch: 0 between two steps, so that they make no states */
mtype kind;
#define CLEAR i = 0; j = 0; a = 0; b = 0; r = 0; life = 0; kind = 0
#if defined(REACH) || defined(REACH_LATE)
bit was[2];                     /* the holder was answered; REACH_LATE: after the fault */
#endif

inline tell(k, x, y) {
    for (i : 0 .. N - 1) {
        if
        :: gap[i]
        :: !gap[i] && len(down[i]) < K -> down[i]!k, x, y
        :: !gap[i] && len(down[i]) == K -> gap[i] = 1
        fi
    }
    CLEAR
}

/* --- an entry: answers by the kernel, and what it owes when it is gone --- */

#define e (_pid / 2)
#define h (_pid % 2)
#ifdef WRONG_FULL_L
#define GRANT L
#else
#define GRANT min(L, E[e])
#endif
#define CAN_ANSWER (has[_pid] && E[e] && (p[_pid] < GRANT || P[h] < GRANT + Q))
#ifdef WRONG_GRACE
#define GRACE true
#else
#define GRACE !judged[_pid]
#endif
#ifdef WRONG_SILENT
#define KNOWN true
#else
#define KNOWN E[e]      /* who has no horizon is perhaps not known yet, or not any more */
#endif

inline answer(g) {  /* P before the ACK leaves */
    p[_pid] = max(p[_pid], g);
    P[h] = max(P[h], g + Q);    /* the client counts from a retransmission */
    assert(P[1 - h] == 0);      /* I1 */
#if defined(REACH)
    was[h] = 1; assert(!was[1 - h]);
#elif defined(REACH_LATE)
    was[h] = took_over || reborn; assert(!was[1 - h]);
#endif
    skip
}

active [2 * N] proctype Entry() {
    do
#if defined(AT_ONCE)
    :: d_step { CAN_ANSWER -> a = GRANT; answer(a); a = 0 }
#elif defined(WRONG_ORDER)  /* the entry is read first */
    :: d_step { has[_pid] && !judged[_pid] -> judged[_pid] = 1 }
    :: d_step { judged[_pid] && E[e] -> a = GRANT; answer(a); a = 0; judged[_pid] = 0 }
    :: d_step { judged[_pid] && !E[e] -> judged[_pid] = 0 }
#else
    :: d_step { CAN_ANSWER && !judged[_pid] -> judged[_pid] = GRANT }
    :: d_step { judged[_pid] -> answer(judged[_pid]); judged[_pid] = 0 }
#endif
    :: d_step { owed[_pid] && len(up[e]) < U && !(up[e]??[Ack, _, eval(h), _, _]) && GRACE && KNOWN ->
        up[e]!Ack, LIFE(e), h, owed[_pid] - 1, p[_pid] }
    od
}
#undef e
#undef h

/* --- an edge --- */

#define e (_pid - 2 * N)

inline assign(h) {  /* P as if answered: the slot of an earlier binding may be gone */
    has[2 * e + h] = 1;
#ifdef WRONG_SLOT
    p[2 * e + h] = 0;
#else
    p[2 * e + h] = min(L, E[e]);
#endif
    owed[2 * e] = 0; owed[2 * e + 1] = 0;
    p[2 * e + 1 - h] = (has[2 * e + 1 - h] -> p[2 * e + 1 - h] : 0)
}

inline grant(life) {
    if
    :: life == LIFE(e) && sent[e] ->
#ifdef WRONG_RECEIVED
        sent[e] = D;
#endif
        E[e] = max(E[e], sent[e]); sent[e] = 0
#ifndef WRONG_DEAF
    :: life != LIFE(e) -> E[e] = 0  /* another life has the horizon */
#endif
    :: else
    fi
}

/* Bring the tables to what the log says now. What was promised by an entry that goes is kept while
   its removal is owed; what is new here may have been promised under a binding that is forgotten. */
#ifdef WRONG_RESYNC
#define FORGOTTEN 0
#else
#define FORGOTTEN min(L, E[e])
#endif

inline resync() {
    for (j : 0 .. 1) {
        b = 2 * e + j;
        a = (removed == j && !acked -> 1 + ref : 0);
        if
        :: holder == j ->
            p[b] = (has[b] || owed[b] -> p[b] : FORGOTTEN);
            has[b] = 1; owed[b] = 0
#ifdef WRONG_KEEP
        :: holder != j && has[b]
        :: holder != j && !has[b] ->
#else
        :: holder != j ->
#endif
            p[b] = (a -> (has[b] || owed[b] -> p[b] : FORGOTTEN) : 0);
            has[b] = 0; owed[b] = a
        fi
    }
#ifndef WRONG_DEAF
    E[e] = (LIFE(e) == alive -> E[e] : 0);
#endif
    skip
}

active [N] proctype Edge() {
    do
    :: d_step { !sent[e] && len(up[e]) < U && !(up[e]??[Heartbeat, _, _, _, _]) &&
            !(down[e]??[Granted, _, _]) ->
        sent[e] = D; up[e]!Heartbeat, LIFE(e), 0, 0, 0 }
    :: d_step { down[e]?kind, a, b ->
        if
        :: kind == Granted -> grant(a)
        :: kind == Assigned -> assign(a)
        :: kind == Ended -> has[2 * e + a] = 0; owed[2 * e + a] = 1 + b
        :: kind == Acked && owed[2 * e + a] == 1 + b -> owed[2 * e + a] = 0; p[2 * e + a] = 0
        :: kind == Acked && owed[2 * e + a] != 1 + b
        :: kind == Epoch -> resync()
        fi;
        CLEAR }
    :: d_step { gap[e] && len(down[e]) == 0 -> gap[e] = 0; resync(); CLEAR }
#ifdef REBOOT
    :: d_step { !reborn ->
        reborn = 1; E[0] = 0; sent[0] = 0; gap[0] = 1;
        for (i : 0 .. 1) { has[i] = 0; judged[i] = 0; p[i] = 0; owed[i] = 0 }
        do :: down[0]?kind, a, b :: len(down[0]) == 0 -> break od;
        CLEAR }
    :: d_step { reborn && sent[0] -> sent[0] = 0 }  /* its agent died: the nonce is not known */
#endif
#if W > 0
    :: d_step { deposed && down[e]?[Epoch, _, _] && sent[e] -> E[e] = max(E[e], sent[e]); sent[e] = 0 }
    :: d_step { deposed && down[e]?[Epoch, _, _] && (deposed_may & 1) -> deposed_may = 0; assign(0) }
    :: d_step { deposed && down[e]?[Epoch, _, _] && (deposed_may & 2) -> deposed_may = 0; assign(1) }
#endif
    od
}
#undef e

/* --- the allocator: commands, in the order of each edge; what it does by itself; time --- */

#define e (_pid - 3 * N)
#ifdef SPARE
#define REFUSED (life != alive && (life < alive || A > 0))
#else
#define REFUSED (life < alive)
#endif

#ifdef WRONG_REF
#define THAT_EVENT true
#else
#define THAT_EVENT (ref == b)
#endif

active [N] proctype Decide() {
    do
    :: d_step { up[e]?kind, life, a, b, r ->
        if
        :: kind == Heartbeat && REFUSED
        :: kind == Heartbeat && !REFUSED ->
            if
            :: life != alive ->
#ifndef WRONG_FORMER
                former = max(former, max(A, Q) - Q);
                of_former = former && (holder != NOBODY || removed != NOBODY);
#endif
                alive = life
            :: else
            fi;
            A = max(A, H + Q);
#ifdef WRONG_BESIDE
            E[e] = max(E[e], sent[e]); sent[e] = 0
#else
            tell(Granted, life, 0)
#endif
        :: kind == Ack ->
            if
            :: removed == a && !acked && THAT_EVENT ->
                acked = 1;
#ifdef WRONG_R
                r = 0;
#endif
                rest = max(r, (of_former -> former : 0));
#ifndef WRONG_Q
                rest = rest + Q;
#endif
                tell(Acked, removed, ref)
            :: else
            fi
        fi;
        CLEAR }
    od
}
#undef e

#define in_use(n, d) (owed[2 * d] == 1 + n || owed[2 * d + 1] == 1 + n || (up[d]??[Ack, _, _, n, _]) \
    || (down[d]??[Ended, _, n]) || (down[d]??[Acked, _, n]))
#define is_used(n) (in_use(n, 0) || in_use(n, (N - 1)))
#define MAY_HAVE(h) (holder == NOBODY && (removed == NOBODY || removed == h) && !recovering)

inline give(h) {
#ifdef CHECK_ALL
    assert(P[1 - h] == 0);  /* I7 */
#endif
#ifdef WRONG_LINEAGE
    of_former = 0;
#endif
    of_former = of_former && removed == h;  /* what it was promised before stays promised */
    holder = h; removed = NOBODY; acked = 0; rest = 0;
    tell(Assigned, h, 0)
}

#if defined(WRONG_NO_EXTENSION)
#define EXTENDED Q
#elif defined(WRONG_EXTENSION_L)
#define EXTENDED (L + Q)
#elif defined(WRONG_WITHOUT_W)
#define EXTENDED (H + Q)
#else
#define EXTENDED (H + W + Q)
#endif

inline take_over(is_lost) {
    took_over = 1;
    A = EXTENDED;
    former = (alive -> A - Q : 0);
#ifdef LOSE  /* the log may have lost its tail: perhaps the last assignment */
    deposed = (W -> W + 1 : 0);  /* the last moment counts */
    deposed_may = (holder != NOBODY -> 0 : (removed == NOBODY -> 3 : 1 + removed));
    if
    :: is_lost -> holder = NOBODY; removed = NOBODY; acked = 0; rest = 0; of_former = 0
    :: else
    fi;
#ifndef WRONG_NO_QUARANTINE
    recovering = A;
#endif
    tell(Epoch, 0, 0)
#endif
    CLEAR
}

active proctype Allocator() {
    do
    :: d_step { MAY_HAVE(0) -> give(0) }
    :: d_step { MAY_HAVE(1) -> give(1) }
    :: d_step { holder != NOBODY && !(is_used(0) && is_used(1) && (REFS == 2 || is_used(2))) ->
        ref = (!is_used(0) -> 0 : (!is_used(1) -> 1 : 2));
        removed = holder; holder = NOBODY;
        tell(Ended, removed, ref) }
    :: d_step { removed != NOBODY && (acked -> !rest : !A) ->
        removed = NOBODY; acked = 0; of_former = 0 }
#ifdef TAKEOVER
    :: d_step { !took_over -> take_over(false) }
#ifdef LOSE
    :: d_step { !took_over && holder != NOBODY -> take_over(true) }
#endif
#endif
    od
}

active proctype Clock() {
    do
    :: atomic { !judged[0] && !judged[1] && !judged[2 * N - 2] && !judged[2 * N - 1] ->
        i = 0;
        do
        :: i < N ->
            if
#ifdef DRIFT
            :: !steady[i] && (E[i] || sent[i] || p[2 * i] || p[2 * i + 1]) -> steady[i] = D
#endif
            :: true ->
                less(steady[i]); less(E[i]); less(sent[i]); less(p[2 * i]); less(p[2 * i + 1])
            fi;
            i++
        :: else -> break
        od;
        less(P[0]); less(P[1]); less(A); less(rest); less(former); less(recovering); less(deposed);
        of_former = of_former && former;
#ifdef CHECK_ALL
        for (i : 0 .. N - 1) { assert(!E[i] || A > Q || former) }  /* I6 */
#endif
        CLEAR }
    od
}
