// The dumbbell of lklsim's README, in ns-3: four senders, four receivers, and 20 Mbit/s between two routers.
//
// Prints a line: how many events ns-3 had, how many seconds they took, and the goodput of each flow in Mbit/s.

#include <chrono>
#include <cstdlib>
#include <iostream>

#include "ns3/applications-module.h"
#include "ns3/core-module.h"
#include "ns3/internet-module.h"
#include "ns3/network-module.h"
#include "ns3/point-to-point-module.h"
#include "ns3/traffic-control-module.h"

using namespace ns3;

namespace {

constexpr int kFlows = 4;
constexpr uint16_t kPort = 10000;

// A link whose devices have an address each, with no queue but the device's own, as lklsim's have.
Ipv4InterfaceContainer
Join(Ptr<Node> one, Ptr<Node> two, const char* rate, const char* delay, const char* queue, Ipv4AddressHelper& addresses)
{
    PointToPointHelper link;
    link.SetDeviceAttribute("DataRate", StringValue(rate));
    link.SetChannelAttribute("Delay", StringValue(delay));
    link.SetQueue("ns3::DropTailQueue", "MaxSize", StringValue(queue));
    NetDeviceContainer devices = link.Install(one, two);
    Ipv4InterfaceContainer interfaces = addresses.Assign(devices);
    addresses.NewNetwork();
    TrafficControlHelper().Uninstall(devices);
    return interfaces;
}

} // namespace

int
main(int argc, char** argv)
{
    const double seconds = argc > 1 ? std::atof(argv[1]) : 60.0;

    // What Linux does: cubic, segments of 1448 bytes with time stamps, SACK, ten segments at first, an acknowledgement for two
    // segments, and buffers that do not limit.
    Config::SetDefault("ns3::TcpL4Protocol::SocketType", TypeIdValue(TcpCubic::GetTypeId()));
    Config::SetDefault("ns3::TcpSocket::SegmentSize", UintegerValue(1448));
    Config::SetDefault("ns3::TcpSocket::InitialCwnd", UintegerValue(10));
    Config::SetDefault("ns3::TcpSocket::DelAckCount", UintegerValue(2));
    Config::SetDefault("ns3::TcpSocket::SndBufSize", UintegerValue(4 << 20));
    Config::SetDefault("ns3::TcpSocket::RcvBufSize", UintegerValue(4 << 20));
    Config::SetDefault("ns3::TcpSocketBase::Sack", BooleanValue(true));
    Config::SetDefault("ns3::TcpSocketBase::Timestamp", BooleanValue(true));

    NodeContainer routers(2), senders(kFlows), receivers(kFlows);
    InternetStackHelper stack;
    stack.Install(routers);
    stack.Install(senders);
    stack.Install(receivers);

    Ipv4AddressHelper addresses("10.0.0.0", "255.255.255.0");
    Join(routers.Get(0), routers.Get(1), "20Mbps", "10ms", "100p", addresses);
    ApplicationContainer sinks;
    for (int flow = 0; flow < kFlows; ++flow)
    {
        Join(senders.Get(flow), routers.Get(0), "100Mbps", "1ms", "1000p", addresses);
        auto far = Join(routers.Get(1), receivers.Get(flow), "100Mbps", "1ms", "1000p", addresses);

        Address any(InetSocketAddress(Ipv4Address::GetAny(), kPort));
        sinks.Add(PacketSinkHelper("ns3::TcpSocketFactory", any).Install(receivers.Get(flow)));
        BulkSendHelper bulk("ns3::TcpSocketFactory", InetSocketAddress(far.GetAddress(1), kPort));
        bulk.SetAttribute("SendSize", UintegerValue(65536));
        bulk.Install(senders.Get(flow)).Start(Seconds(0));
    }
    Ipv4GlobalRoutingHelper::PopulateRoutingTables();

    Simulator::Stop(Seconds(seconds));
    const auto began = std::chrono::steady_clock::now();
    Simulator::Run();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
    std::cout << Simulator::GetEventCount() << ' ' << took.count();
    for (int flow = 0; flow < kFlows; ++flow)
    {
        auto sink = DynamicCast<PacketSink>(sinks.Get(flow));
        std::cout << ' ' << sink->GetTotalRx() * 8 / seconds / 1e6;
    }
    std::cout << std::endl;
    Simulator::Destroy();
    return 0;
}
