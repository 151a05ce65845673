/* Allocates without the interpreter lock: ctypes.CDLL lets go of it. Blocks of 1 to 16 KB, 64 at a time. */

#include <stdlib.h>

long churn(long count)
{
    void *blocks[64] = {0};
    unsigned random = 12345;
    long sum = 0;

    for (long i = 0; i < count; i++) {
        random = random * 1103515245 + 12345;
        unsigned k = (random >> 8) % 64, size = 1100 + (random >> 16) % 15000;
        free(blocks[k]);
        blocks[k] = malloc(size);
        if (blocks[k])
            ((char *)blocks[k])[0] = (char)i;
        sum += size;
    }
    for (int k = 0; k < 64; k++)
        free(blocks[k]);
    return sum;
}
