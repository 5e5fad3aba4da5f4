# What the scripts here take for granted, so that Linux's defaults may change: how large buffers are (a window scale of 8), time stamps
# and ECN only where a script asks for them.
sysctl -q net.ipv4.tcp_rmem="4096 131072 15728640"
sysctl -q net.ipv4.tcp_wmem="4096 262144 4194304"
sysctl -q net.ipv4.tcp_timestamps=0
sysctl -q net.ipv4.tcp_ecn=0
sysctl -q net.ipv4.tcp_congestion_control=cubic
sysctl -q net.ipv4.tcp_fastopen_key=00112233-44556677-8899aabb-ccddeeff
