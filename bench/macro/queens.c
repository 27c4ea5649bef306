// N queens: a master deals boards to workers in turn; from the third row on a worker searches alone.

#include "macro/tables.h"

enum { WORKERS = 20, ALONE_ROW = 3, BOARD_MIN = 6, BOARD_MAX = 12 };

typedef struct b_Board {
    uint64_t board; // four bits for each row
    uint32_t row;
    uint32_t size;
} b_Board;

typedef struct b_Done {
    uint64_t found;
} b_Done;

BENCH_TYPE(b_Board, 349);
BENCH_TYPE(b_Done, 350);

static bool is_safe(uint64_t board, uint32_t row, uint32_t column)
{
    for (uint32_t distance = row; distance > 0; distance--, board >>= 4) {
        uint32_t other = board & 15;
        if (other == column || other + distance == column || column + distance == other) {
            return false;
        }
    }
    return true;
}

/** Solutions of `size` that begin with `board`: depth first. */
static uint64_t search(uint64_t board, uint32_t first_row, uint32_t size)
{
    uint32_t next[BOARD_MAX]; // column to be tried, by row
    uint64_t found = 0;
    uint32_t row = first_row;
    uint32_t column = 0;
    for (;;) {
        while (column < size && !is_safe(board, row, column)) {
            column++;
        }
        if (column < size && row + 1 == size) {
            found++;
            column++;
        } else if (column < size) {
            board = (board & ~(UINT64_C(15) << (4 * row))) | (uint64_t)column << (4 * row);
            next[row++] = column + 1;
            column = 0;
        } else if (row == first_row) {
            return found;
        } else {
            column = next[--row];
        }
    }
}

typedef struct searcher {
    uint64_t boards;
} searcher_t;

static za_verdict_t searcher_board(za_ctx_t *ctx, searcher_t *self, const b_Board *m)
{
    self->boards++;
    za_ref_t master = za_sender(ctx);
    if (m->row >= ALONE_ROW) {
        uint64_t found = search(m->board, m->row, m->size);
        bench_must(za_tell(ctx, master, ZA_MSG(b_Done, .found = found)), "done");
        return ZA_DONE;
    }
    for (uint32_t column = 0; column < m->size; column++) {
        if (is_safe(m->board, m->row, column)) {
            const b_Board next = { .board = m->board | (uint64_t)column << (4 * m->row),
                                   .row = m->row + 1,
                                   .size = m->size };
            bench_must(za_tell(ctx, master, &b_Board_type, &next), "board");
        }
    }
    bench_must(za_tell(ctx, master, ZA_MSG(b_Done, .found = 0)), "done");
    return ZA_DONE;
}

ZA_ACTOR(searcher, searcher_t, (b_Board, searcher_board));

typedef struct master {
    za_ref_t workers[WORKERS];
    uint64_t turn;
    uint64_t open; // boards that are being worked on
    uint64_t found;
    uint64_t wanted;
} master_t;

static za_verdict_t deal(za_ctx_t *ctx, master_t *self, const b_Board *board)
{
    self->open++;
    bench_must(za_tell(ctx, self->workers[self->turn++ % WORKERS], &b_Board_type, board), "deal");
    return ZA_DONE;
}

static za_verdict_t master_go(za_ctx_t *ctx, master_t *self, const b_Go *m)
{
    static const uint64_t solutions[BOARD_MAX + 1] = { 1,  1,  0,   0,   2,    10,   4,
                                                       40, 92, 352, 724, 2680, 14200 };
    self->wanted = solutions[m->n];
    for (int i = 0; i < WORKERS; i++) {
        bench_must(za_spawn(ctx, searcher, &self->workers[i]), "spawn");
    }
    const b_Board empty = { .size = (uint32_t)m->n };
    return deal(ctx, self, &empty);
}

static za_verdict_t master_board(za_ctx_t *ctx, master_t *self, const b_Board *m)
{
    return deal(ctx, self, m);
}

static za_verdict_t master_done(za_ctx_t *ctx, master_t *self, const b_Done *m)
{
    (void)ctx;
    self->found += m->found;
    if (--self->open == 0) {
        bench_check(self->found == self->wanted, "the number of solutions");
        bench_end();
    }
    return ZA_DONE;
}

ZA_ACTOR(master, master_t, (b_Go, master_go), (b_Board, master_board), (b_Done, master_done));

static double queens(const bench_workload_t *workload, uint64_t size)
{
    (void)workload;
    za_ref_t master = bench_spawn(&master_class, 0);
    bench_begin();
    bench_tell(master, ZA_MSG(b_Go, .n = size < BOARD_MIN ? BOARD_MIN : size));
    return bench_wait() / 1e6;
}

const bench_workload_t bench_macro_queens[] = {
    { .id = "n-queens",
      .unit = "ms",
      .measure = queens,
      .amount = BOARD_MAX,
      .how_many = WORKERS,
      .fixed = true },
    { 0 },
};
