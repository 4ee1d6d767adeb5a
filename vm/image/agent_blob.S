/* The agent's binary, part of the program: an image never carries a stale one. */
    .section .rodata
    .global agent_blob
    .global agent_blob_end
    .balign 16
agent_blob:
    .incbin "vmdeck-agent"
agent_blob_end:
    .section .note.GNU-stack,"",@progbits
